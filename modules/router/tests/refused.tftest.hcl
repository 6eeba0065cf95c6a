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
    defaults = { version = "7", arn = "arn:aws:lambda:eu-central-1:123456789012:function:llm" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:llm:live" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/llm-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/llm" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/llm-budgets" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "llm-1", arn = "arn:aws:s3:::llm-1" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { id = "https://sqs.eu-central-1.amazonaws.com/123456789012/llm-background", arn = "arn:aws:sqs:eu-central-1:123456789012:llm-background" }
  }
}

variables {
  name          = "llm"
  package       = { path = "tests/fixtures/function.zip" }
  configuration = { content = "{version: 1, backends: {}, models: {}, tenants: {}}" }
}

run "a_long_name" {
  command = plan

  variables {
    name = "a-name-that-is-too-long-for-the-table-the-worker-and-the-queues"
  }

  expect_failures = [var.name]
}

run "a_long_description" {
  command = plan

  variables {
    description = join("", [for number in range(257) : "x"])
  }

  expect_failures = [var.description]
}

run "no_configuration" {
  command = plan

  variables {
    configuration = {}
  }

  expect_failures = [var.configuration]
}

run "two_configurations" {
  command = plan

  variables {
    configuration = { content = "{version: 1, backends: {}, models: {}, tenants: {}}", s3 = { bucket = "my-configurations", key = "llm.yaml" } }
  }

  expect_failures = [var.configuration]
}

run "a_configuration_without_tenants" {
  command = plan

  variables {
    configuration = { content = "{version: 1, backends: {}, models: {}}" }
  }

  expect_failures = [var.configuration]
}

run "a_configuration_that_is_no_yaml" {
  command = plan

  variables {
    configuration = { content = "{version: 1" }
  }

  expect_failures = [var.configuration]
}

run "a_configuration_that_is_too_long" {
  command = plan

  variables {
    configuration = { content = "{version: 1, backends: {}, models: {}, tenants: {x: ${join("", [for number in range(1024) : join("", [for number in range(1024) : "x"])])}}}" }
  }

  expect_failures = [var.configuration]
}

run "a_configuration_in_an_address" {
  command = plan

  variables {
    configuration = { s3 = { bucket = "s3://my-configurations", key = "llm.yaml" } }
  }

  expect_failures = [var.configuration]
}

run "every_configuration" {
  command = plan

  variables {
    configuration = { s3 = { bucket = "my-configurations", key = "*" } }
  }

  expect_failures = [var.configuration]
}

run "a_configuration_with_a_key_s_alias" {
  command = plan

  variables {
    configuration = { s3 = { bucket = "my-configurations", key = "llm.yaml", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/llm" } }
  }

  expect_failures = [var.configuration]
}

run "an_appconfig_without_profile" {
  command = plan

  variables {
    configuration = { appconfig = { arn = "arn:aws:appconfig:eu-central-1:123456789012:application/abc1234/environment/def5678" } }
  }

  expect_failures = [var.configuration]
}

run "anybody" {
  command = plan

  variables {
    identity = "none"
  }

  expect_failures = [var.identity]
}

run "every_model_of_bedrock" {
  command = plan

  variables {
    backends = { bedrock_models = ["arn:aws:bedrock:us-east-1::foundation-model/*"] }
  }

  expect_failures = [var.backends]
}

run "every_guardrail" {
  command = plan

  variables {
    backends = { bedrock_guardrails = ["*"] }
  }

  expect_failures = [var.backends]
}

run "every_project" {
  command = plan

  variables {
    backends = { bedrock_projects = ["arn:aws:bedrock-mantle:us-east-1:123456789012:project/*"] }
  }

  expect_failures = [var.backends]
}

run "every_endpoint" {
  command = plan

  variables {
    backends = { sagemaker_endpoints = ["arn:aws:sagemaker:eu-central-1:123456789012:endpoint/*"] }
  }

  expect_failures = [var.backends]
}

run "a_prefix_without_its_end" {
  command = plan

  variables {
    backends = { sagemaker_outputs = ["arn:aws:s3:::queued-answers/answers"] }
  }

  expect_failures = [var.backends]
}

run "a_function_without_alias" {
  command = plan

  variables {
    backends = { functions = ["arn:aws:lambda:eu-central-1:123456789012:function:small"] }
  }

  expect_failures = [var.backends]
}

run "the_url_of_a_function_without_alias" {
  command = plan

  variables {
    backends = { function_urls = ["arn:aws:lambda:eu-central-1:123456789012:function:small"] }
  }

  expect_failures = [var.backends]
}

run "a_secret_in_clear" {
  command = plan

  variables {
    secrets = ["sk-1234"]
  }

  expect_failures = [var.secrets]
}

run "every_parameter" {
  command = plan

  variables {
    secrets = ["arn:aws:ssm:eu-central-1:123456789012:parameter/*"]
  }

  expect_failures = [var.secrets]
}

run "a_secret_s_key_by_alias" {
  command = plan

  variables {
    secret_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:alias/llm"]
  }

  expect_failures = [var.secret_kms_key_arns]
}

run "a_table_by_name" {
  command = plan

  variables {
    budgets = { table = { arn = "budgets" } }
  }

  expect_failures = [var.budgets]
}

run "a_table_s_key_by_alias" {
  command = plan

  variables {
    budgets = { table = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/budgets", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/llm" } }
  }

  expect_failures = [var.budgets]
}

run "answers_forever" {
  command = plan

  variables {
    background = { result_days = 0 }
  }

  expect_failures = [var.background]
}

run "a_background_of_an_hour" {
  command = plan

  variables {
    background = { timeout = 3600 }
  }

  expect_failures = [var.background]
}

run "one_at_a_time" {
  command = plan

  variables {
    background = { concurrency = 1 }
  }

  expect_failures = [var.background]
}

run "batches_without_a_slash" {
  command = plan

  variables {
    batches = { store = "s3://my-batches/batches", state_machine_arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:batch" }
  }

  expect_failures = [var.batches]
}

run "every_state_machine" {
  command = plan

  variables {
    batches = { store = "s3://my-batches/", state_machine_arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:*" }
  }

  expect_failures = [var.batches]
}

run "a_batches_key_by_alias" {
  command = plan

  variables {
    batches = { store = "s3://my-batches/", state_machine_arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:batch", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/llm" }
  }

  expect_failures = [var.batches]
}

run "a_request_of_an_hour" {
  command = plan

  variables {
    timeout = 3600
  }

  expect_failures = [var.timeout]
}

run "half_an_environment" {
  command = plan

  variables {
    reserved_concurrency = 0.5
  }

  expect_failures = [var.reserved_concurrency]
}

run "no_subnet" {
  command = plan

  variables {
    vpc = { subnet_ids = [], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.vpc]
}

run "names_of_subnets" {
  command = plan

  variables {
    vpc = { subnet_ids = ["private"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.vpc]
}

run "a_layer_without_version" {
  command = plan

  variables {
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:adapter"
  }

  expect_failures = [var.web_adapter_layer_arn]
}

run "a_layer_for_x86" {
  command = plan

  variables {
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:753240598075:layer:LambdaAdapterLayerX86:30"
  }

  expect_failures = [var.web_adapter_layer_arn]
}

run "a_variable_without_value" {
  command = plan

  variables {
    environment = { PYTHONWARNINGS = null }
  }

  expect_failures = [var.environment]
}

run "a_variable_of_the_module" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_ROUTER_TABLE = "other" }
  }

  expect_failures = [var.environment]
}

run "a_variable_of_the_web_adapter" {
  command = plan

  variables {
    environment = { AWS_LWA_INVOKE_MODE = "buffered" }
  }

  expect_failures = [var.environment]
}

run "another_tracing" {
  command = plan

  variables {
    tracing = "Always"
  }

  expect_failures = [var.tracing]
}

run "a_key_by_alias" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/llm"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_key_of_another_region" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_table_of_another_region" {
  command = plan

  variables {
    budgets = { table = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/budgets" } }
  }

  expect_failures = [aws_lambda_function.this]
}

run "no_layer_in_this_partition" {
  command = plan

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-us-gov" }
  }

  expect_failures = [aws_lambda_function.this]
}
