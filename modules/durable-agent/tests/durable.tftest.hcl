# durable_config, which no provider before 6.25 knows.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { version = "7", arn = "arn:aws:lambda:eu-central-1:123456789012:function:research" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:research:live" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/research-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/research" }
  }
}

variables {
  name      = "research"
  package   = { path = "tests/fixtures/function.zip" }
  inference = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live" }
  state     = { bucket = "my-state", prefix = "state/" }
}

run "it_is_durable" {
  assert {
    condition     = one(aws_lambda_function.this.durable_config).execution_timeout == 1209600 && one(aws_lambda_function.this.durable_config).retention_period == 14
    error_message = "The function is not durable, or its executions last otherwise."
  }
}

run "for_as_long_as_one_says" {
  variables {
    execution_timeout = 31622400
    retention_period  = 90
  }

  assert {
    condition     = one(aws_lambda_function.this.durable_config).execution_timeout == 31622400 && one(aws_lambda_function.this.durable_config).retention_period == 90
    error_message = "Executions last otherwise than the inputs say."
  }
}
