# What a stack gets. Nothing is applied to an account; the local AWS does that in tests/.

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
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:chat-rollback-errors" }
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

run "at_the_first_error" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.errors[0].dimensions == tomap({ FunctionName = "chat", Resource = "chat:live", ExecutedVersion = "7" })
    error_message = "The alarm is not about the newest version behind the alias."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.errors[0].metric_name == "Errors" && aws_cloudwatch_metric_alarm.errors[0].threshold == 1 && aws_cloudwatch_metric_alarm.errors[0].period == 60 && aws_cloudwatch_metric_alarm.errors[0].treat_missing_data == "notBreaching"
    error_message = "The alarm does not go off at the first failed invocation."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.errors[0].alarm_actions == toset([aws_lambda_function.this.arn]) && length(aws_cloudwatch_metric_alarm.duration) == 0
    error_message = "The alarm does not invoke the rollback alone, or there is another one."
  }

  assert {
    condition     = join(",", keys(aws_lambda_permission.alarm)) == "errors" && aws_lambda_permission.alarm["errors"].principal == "lambda.alarms.cloudwatch.amazonaws.com" && aws_lambda_permission.alarm["errors"].source_arn == aws_cloudwatch_metric_alarm.errors[0].arn && aws_lambda_permission.alarm["errors"].source_account == "123456789012"
    error_message = "Something else than that alarm of this account may invoke the rollback, or the alarm may not."
  }

  assert {
    condition     = jsonencode([for statement in data.aws_iam_policy_document.rollback.statement : [statement.actions, statement.resources]]) == jsonencode([[["lambda:GetAlias", "lambda:UpdateAlias"], [var.function.function_arn]]])
    error_message = "The rollback may do something else than change the function's aliases."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables == tomap({ LAMBDA_LLM_CANARY_FUNCTION = var.function.function_arn, LAMBDA_LLM_CANARY_ALIAS = "live", LAMBDA_LLM_CANARY_VERSION = "7" }) && aws_lambda_function.this.tags["lambda-llm"] == "canary-rollback"
    error_message = "The rollback is not told what to roll back, or the policies can't tell what it is."
  }
}

run "at_alarms_of_the_deployer" {
  variables {
    errors      = null
    duration_ms = 30000
    topic_arn   = "arn:aws:sns:eu-central-1:123456789012:on-call"
    alarms      = { quality = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:quality" }
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.errors) == 0 && aws_cloudwatch_metric_alarm.duration[0].extended_statistic == "p90" && aws_cloudwatch_metric_alarm.duration[0].threshold == 30000
    error_message = "The alarm is not on durations alone."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.duration[0].alarm_actions == toset([aws_lambda_function.this.arn, var.topic_arn])
    error_message = "The topic is not told, or the rollback is not invoked."
  }

  assert {
    condition     = join(",", keys(output.alarm_arns)) == "duration,other-quality" && aws_lambda_permission.alarm["other-quality"].source_arn == var.alarms.quality
    error_message = "The deployer's own alarm may not invoke the rollback."
  }
}
