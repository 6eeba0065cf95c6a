# What a stack gets; whether anything of it stays empty, tests/terraform/test_observability.py shows over lines.

mock_provider "aws" {
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
  mock_resource "aws_cloudwatch_metric_alarm" {
    defaults = { arn = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:llm" }
  }
}

variables {
  name = "llm"
}

run "nothing_of_nothing" {
  assert {
    condition     = length(aws_cloudwatch_dashboard.this) + length(aws_cloudwatch_metric_alarm.this) + length(aws_cloudwatch_query_definition.this) == 0 && output.dashboard_name == null
    error_message = "Something watches functions that are not there."
  }
}

run "one_function" {
  variables {
    inference = { chat = { function_name = "chat", log_group_name = "/aws/lambda/chat", models = ["small", "large"] } }

    alarm_actions = ["arn:aws:sns:eu-central-1:123456789012:on-call"]
    ok_actions    = ["arn:aws:sns:eu-central-1:123456789012:log"]
    tags          = { team = "search" }
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["inference-chat-errors", "inference-chat-first-token-small", "inference-chat-first-token-large", "inference-chat-throttles"])
    error_message = "There are other alarms than those of this function and its models."
  }

  assert {
    condition     = alltrue([for alarm in values(aws_cloudwatch_metric_alarm.this) : alarm.alarm_actions == toset(var.alarm_actions) && alarm.ok_actions == toset(var.ok_actions) && alarm.treat_missing_data == "notBreaching"])
    error_message = "An alarm calls nobody, or rings where nothing is asked."
  }

  assert {
    condition     = alltrue([for alarm in values(aws_cloudwatch_metric_alarm.this) : alarm.tags == tomap({ team = "search", "lambda-llm:plane" = "orchestration", "lambda-llm:component" = "observability" })])
    error_message = "An alarm's cost can't be told from others."
  }

  assert {
    condition     = alltrue([for widget in jsondecode(output.dashboard_body).widgets : widget.properties.region == "eu-central-1"]) && !strcontains(output.dashboard_body, "backend,model") && strcontains(output.dashboard_body, "SOURCE '/aws/lambda/chat' | filter")
    error_message = "The dashboard is of another region, has widgets of functions that are not there, or reads other logs."
  }

  assert {
    condition     = aws_cloudwatch_query_definition.this["slowest"].log_group_names == tolist(["/aws/lambda/chat"]) && !contains(keys(aws_cloudwatch_query_definition.this), "tools")
    error_message = "A query reads other logs than those of its functions."
  }
}

run "without_a_log_group" {
  variables {
    inference = { chat = { function_name = "chat" } }
  }

  assert {
    condition     = length(aws_cloudwatch_query_definition.this) == 0 && alltrue([for widget in jsondecode(output.dashboard_body).widgets : widget.type == "metric"])
    error_message = "A query has no log group to read."
  }
}

run "no_alarm_that_is_left_out" {
  variables {
    agents     = { research = { function_name = "research" } }
    pruners    = { chat = { function_name = "chat-pruner" } }
    thresholds = { agent_failures = 7 }
    no_alarms  = ["throttles", "pruner_errors"]
    dashboard  = false
    queries    = false
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["agent-research-failures", "pruner-chat-unused-versions"]) && aws_cloudwatch_metric_alarm.this["agent-research-failures"].threshold == 7
    error_message = "There is an alarm that was left out, or one with another threshold."
  }

  assert {
    condition     = length(aws_cloudwatch_dashboard.this) + length(aws_cloudwatch_query_definition.this) == 0
    error_message = "There is a dashboard or a query that was left out."
  }
}
