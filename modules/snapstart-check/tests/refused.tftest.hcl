# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_lambda_invocation" {
    defaults = { result = "{\"errorMessage\":\"This Lambda function can't serve a model\"}" }
  }
}

variables {
  function_name = "chat"
  qualifier     = "7"
}

run "an_arn_in_the_name_s_place" {
  command = plan

  variables {
    function_name = "arn:aws:lambda:eu-central-1:123456789012:function:chat"
  }

  expect_failures = [var.function_name]
}

run "latest" {
  command = plan

  variables {
    qualifier = "$LATEST"
  }

  expect_failures = [var.qualifier]
}

run "a_version_that_does_not_answer" {
  command = plan

  expect_failures = [check.snap_start]
}
