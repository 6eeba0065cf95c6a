# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

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

run "an_agent_that_is_a_file" {
  command = plan

  variables {
    agent = "research.py"
  }

  expect_failures = [var.agent]
}

run "a_function_without_alias" {
  command = plan

  variables {
    inference = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat" }
  }

  expect_failures = [var.inference]
}

run "state_in_an_address" {
  command = plan

  variables {
    state = { bucket = "s3://my-state", prefix = "state/" }
  }

  expect_failures = [var.state]
}

run "state_everywhere" {
  command = plan

  variables {
    state = { bucket = "my-state", prefix = "*" }
  }

  expect_failures = [var.state]
}

run "a_key_s_alias" {
  command = plan

  variables {
    state = { bucket = "my-state", prefix = "state/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/state" }
  }

  expect_failures = [var.state]
}

run "executions_without_end" {
  command = plan

  variables {
    execution_timeout = 0
  }

  expect_failures = [var.execution_timeout]
}

run "a_history_of_a_year" {
  command = plan

  variables {
    retention_period = 365
  }

  expect_failures = [var.retention_period]
}

run "an_invocation_of_an_hour" {
  command = plan

  variables {
    timeout = 3600
  }

  expect_failures = [var.timeout]
}

run "too_little_memory" {
  command = plan

  variables {
    memory_size = 128
  }

  expect_failures = [var.memory_size]
}

run "no_concurrency" {
  command = plan

  variables {
    reserved_concurrency = 0
  }

  expect_failures = [var.reserved_concurrency]
}

run "every_gateway" {
  command = plan

  variables {
    gateways = ["arn:aws:bedrock-agentcore:eu-central-1:123456789012:gateway/*"]
  }

  expect_failures = [var.gateways]
}

run "every_interpreter" {
  command = plan

  variables {
    code_interpreters = ["*"]
  }

  expect_failures = [var.code_interpreters]
}

run "every_secret" {
  command = plan

  variables {
    secrets = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:*"]
  }

  expect_failures = [var.secrets]
}

run "a_layer_without_version" {
  command = plan

  variables {
    layers = ["arn:aws:lambda:eu-central-1:123456789012:layer:mine"]
  }

  expect_failures = [var.layers]
}

run "a_variable_without_value" {
  command = plan

  variables {
    environment = { SEARCH_URL = null }
  }

  expect_failures = [var.environment]
}

run "a_variable_of_the_module" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_STATE = "s3://elsewhere/state/" }
  }

  expect_failures = [var.environment]
}

run "a_fifo_topic" {
  command = plan

  variables {
    topic_arn = "arn:aws:sns:eu-central-1:123456789012:on-call.fifo"
  }

  expect_failures = [var.topic_arn]
}

run "no_agent" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/nobody.manifest.json" }
  }

  expect_failures = [aws_lambda_function.this]
}

run "an_agent_that_is_not_in_the_package" {
  command = plan

  variables {
    agent = "other:agent"
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_model_in_another_region" {
  command = plan

  variables {
    inference = { alias_arn = "arn:aws:lambda:us-east-1:123456789012:function:chat:live" }
  }

  expect_failures = [aws_lambda_function.this]
}
