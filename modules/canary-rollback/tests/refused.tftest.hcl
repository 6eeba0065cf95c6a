# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat-rollback" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-rollback-1" }
  }
}

variables {
  function = {
    function_name = "chat"
    function_arn  = "arn:aws:lambda:eu-central-1:123456789012:function:chat"
    alias_name    = "live"
    version       = "7"
  }
  package = { path = "tests/fixtures/function.zip" }
}

run "a_function_with_an_alias" {
  command = plan

  variables {
    function = {
      function_name = "chat"
      function_arn  = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
      alias_name    = "live"
      version       = "7"
    }
  }

  expect_failures = [var.function]
}

run "what_is_no_published_version" {
  command = plan

  variables {
    function = {
      function_name = "chat"
      function_arn  = "arn:aws:lambda:eu-central-1:123456789012:function:chat"
      alias_name    = "live"
      version       = "$LATEST"
    }
  }

  expect_failures = [var.function]
}

run "no_error_at_all" {
  command = plan

  variables {
    errors = 0
  }

  expect_failures = [var.errors]
}

run "no_time_at_all" {
  command = plan

  variables {
    duration_ms = 0
  }

  expect_failures = [var.duration_ms]
}

run "half_a_minute" {
  command = plan

  variables {
    period = 30
  }

  expect_failures = [var.period]
}

run "no_period" {
  command = plan

  variables {
    evaluation_periods = 0
  }

  expect_failures = [var.evaluation_periods]
}

run "every_alarm" {
  command = plan

  variables {
    alarms = { all = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:*" }
  }

  expect_failures = [var.alarms]
}

run "a_name_with_a_space" {
  command = plan

  variables {
    alarms = { "my alarm" = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:quality" }
  }

  expect_failures = [var.alarms]
}

run "nothing_that_rolls_back" {
  command = plan

  variables {
    errors = null
  }

  expect_failures = [var.alarms]
}

run "a_fifo_topic" {
  command = plan

  variables {
    topic_arn = "arn:aws:sns:eu-central-1:123456789012:on-call.fifo"
  }

  expect_failures = [var.topic_arn]
}
