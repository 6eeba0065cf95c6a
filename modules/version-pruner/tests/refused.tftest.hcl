# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat-pruner" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-pruner-1" }
  }
}

variables {
  function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat"
  package      = { path = "../inference/tests/fixtures/function.zip" }
}

run "a_function_with_an_alias" {
  command = plan

  variables {
    function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
  }

  expect_failures = [var.function_arn]
}

run "a_name_with_a_dot" {
  command = plan

  variables {
    name = "chat.pruner"
  }

  expect_failures = [var.name]
}

run "no_package" {
  command = plan

  variables {
    package = { manifest = "../inference/tests/fixtures/function.manifest.json" }
  }

  expect_failures = [var.package]
}

run "a_package_that_was_not_built" {
  command = plan

  variables {
    package = { path = "missing.zip" }
  }

  expect_failures = [var.package]
}

run "a_package_without_manifest" {
  command = plan

  variables {
    package = { s3 = { bucket = "artifacts", key = "function.zip" } }
  }

  expect_failures = [aws_lambda_function.this]
}

run "not_even_the_newest_kept" {
  command = plan

  variables {
    keep_newest = 0
  }

  expect_failures = [var.keep_newest]
}

run "a_schedule_in_words" {
  command = plan

  variables {
    schedule = "daily"
  }

  expect_failures = [var.schedule]
}

run "logs_for_ever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "the_policies_mark" {
  command = plan

  variables {
    tags = { lambda-llm = "something else" }
  }

  expect_failures = [var.tags]
}
