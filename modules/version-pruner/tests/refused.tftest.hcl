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
  package      = { path = "tests/fixtures/function.zip" }
}

run "a_function_with_an_alias" {
  command = plan

  variables {
    function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
  }

  expect_failures = [var.function_arn]
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

run "a_schedule_of_no_days" {
  command = plan

  variables {
    schedule = "rate(0 days)"
  }

  expect_failures = [var.schedule]
}
