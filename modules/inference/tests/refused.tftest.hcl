# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  override_during = plan

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
    defaults = { version = "7", arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-1" }
  }
}

variables {
  name = "chat"
  model = {
    bucket     = "my-models"
    key        = "models/llama.gguf"
    version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
    size       = 770000000
    sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    memory = {
      kv_per_token   = { f16 = 131072, q8_0 = 69632 }
      per_token      = 2048
      fixed          = 500000000
      context_length = 131072
    }
  }
  package = { path = "tests/fixtures/function.zip" }
}

run "a_bucket_that_is_a_uri" {
  command = plan

  variables {
    model = merge(var.model, { bucket = "s3://my-models" })
  }

  expect_failures = [var.model]
}

run "a_key_for_many_objects" {
  command = plan

  variables {
    model = merge(var.model, { key = "models/*" })
  }

  expect_failures = [var.model]
}

run "a_model_without_version" {
  command = plan

  variables {
    model = merge(var.model, { version_id = "null" })
  }

  expect_failures = [var.model]
}

run "a_model_without_size" {
  command = plan

  variables {
    model = merge(var.model, { size = 0 })
  }

  expect_failures = [var.model]
}

run "a_model_larger_than_the_function" {
  command = plan

  variables {
    model   = merge(var.model, { size = 11000000000, memory = null })
    timeout = 900
  }

  expect_failures = [var.model]
}

run "a_checksum_of_another_kind" {
  command = plan

  variables {
    model = merge(var.model, { sha256 = "d41d8cd98f00b204e9800998ecf8427e" })
  }

  expect_failures = [var.model]
}

run "an_alias_of_the_model_s_key" {
  command = plan

  variables {
    model = merge(var.model, { kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/models" })
  }

  expect_failures = [var.model]
}

run "a_previous_model_of_any_version" {
  command = plan

  variables {
    previous_models = [{ bucket = "my-models", key = "models/llama.gguf", version_id = "*" }]
  }

  expect_failures = [var.previous_models]
}

run "a_context_of_half_a_token" {
  command = plan

  variables {
    context = 4096.5
  }

  expect_failures = [var.context]
}

run "a_context_beyond_the_model" {
  command = plan

  variables {
    context = 262144
  }

  expect_failures = [var.context]
}

run "a_kv_cache_too_large_for_the_function" {
  command = plan

  variables {
    context = 131072
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_model_too_large_to_be_copied" {
  command = plan

  variables {
    model       = merge(var.model, { size = 6000000000, memory = null })
    environment = { LAMBDA_LLM_WEIGHTS = "copied" }
  }

  expect_failures = [aws_lambda_function.this, check.weights_are_repacked]
}

run "an_unknown_kv_type" {
  command = plan

  variables {
    kv_type = "q4_0"
  }

  expect_failures = [var.kv_type]
}

run "an_empty_system_prompt" {
  command = plan

  variables {
    system_prompt = " "
  }

  expect_failures = [var.system_prompt]
}

run "a_system_prompt_in_a_folder" {
  command = plan

  variables {
    system_prompt = "s3://my-prompts/"
  }

  expect_failures = [var.system_prompt]
}

run "a_further_system_prompt_in_a_folder" {
  command = plan

  variables {
    system_prompts = ["You are short.", "s3://my-prompts/"]
  }

  expect_failures = [var.system_prompts]
}

run "a_system_prompt_too_long_for_the_environment" {
  command = plan

  variables {
    system_prompt = join(" ", [for number in range(800) : "word"])
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_timeout_beyond_lambda_s" {
  command = plan

  variables {
    timeout = 901
  }

  expect_failures = [var.timeout]
}

run "a_timeout_too_short_to_load_the_model" {
  command = plan

  variables {
    model   = merge(var.model, { size = 9000000000, memory = null })
    timeout = 60
  }

  expect_failures = [aws_lambda_function.this, check.weights_are_repacked]
}

run "a_negative_concurrency" {
  command = plan

  variables {
    reserved_concurrency = -1
  }

  expect_failures = [var.reserved_concurrency]
}

run "an_alias_of_the_function_s_key" {
  command = plan

  variables {
    kms_key_arn = "alias/functions"
  }

  expect_failures = [var.kms_key_arn]
}

run "callers_from_everywhere" {
  command = plan

  variables {
    allowed_principals = { all = "*" }
  }

  expect_failures = [var.allowed_principals]
}

run "an_unknown_front_door" {
  command = plan

  variables {
    front_door = "websocket"
  }

  expect_failures = [var.front_door]
}

run "a_layer_without_version" {
  command = plan

  variables {
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:own-adapter"
  }

  expect_failures = [var.web_adapter_layer_arn]
}

run "a_web_adapter_for_the_buffered_front_door" {
  command = plan

  variables {
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:own-adapter:3"
    front_door            = "buffered"
  }

  expect_failures = [var.web_adapter_layer_arn]
}

run "a_canary_with_everything" {
  command = plan

  variables {
    canary          = { stable_version = "6", weight = 1 }
    previous_models = [var.model]
  }

  expect_failures = [var.canary]
}

run "a_canary_beside_latest" {
  command = plan

  variables {
    canary          = { stable_version = "$LATEST", weight = 0.1 }
    previous_models = [var.model]
  }

  expect_failures = [var.canary]
}

run "sessions_everywhere" {
  command = plan

  variables {
    sessions = { bucket = "my-models", prefix = "sessions" }
  }

  expect_failures = [var.sessions]
}

run "sessions_around_the_model" {
  command = plan

  variables {
    sessions = { bucket = "my-models", prefix = "models/" }
  }

  expect_failures = [var.sessions]
}

run "a_setting_that_has_an_input" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_CONTEXT = "8192" }
  }

  expect_failures = [var.environment]
}

run "a_canary_beside_itself" {
  command = plan

  variables {
    canary          = { stable_version = "7", weight = 0.1 }
    previous_models = [var.model]
  }

  expect_failures = [aws_lambda_alias.live]
}

run "an_allowed_principal_with_a_name_of_words" {
  command = plan

  variables {
    allowed_principals = { "my app" = "123456789012" }
  }

  expect_failures = [var.allowed_principals]
}

run "a_service_among_the_principals" {
  command = plan

  variables {
    allowed_principals = { rule = "events.amazonaws.com" }
  }

  expect_failures = [var.allowed_principals]
}

run "an_account_among_the_services" {
  command = plan

  variables {
    allowed_services = { app = { service = "123456789012", source_account = "123456789012" } }
  }

  expect_failures = [var.allowed_services]
}

run "a_service_on_anybody_s_behalf" {
  command = plan

  variables {
    allowed_services = { rule = { service = "events.amazonaws.com" } }
  }

  expect_failures = [var.allowed_services]
}

run "a_service_for_a_name" {
  command = plan

  variables {
    allowed_services = { rule = { service = "events.amazonaws.com", source_arn = "nightly" } }
  }

  expect_failures = [var.allowed_services]
}

run "a_service_for_half_an_account" {
  command = plan

  variables {
    allowed_services = { rule = { service = "events.amazonaws.com", source_account = "123456" } }
  }

  expect_failures = [var.allowed_services]
}

run "an_allowed_service_with_a_name_of_words" {
  command = plan

  variables {
    allowed_services = { "my rule" = { service = "events.amazonaws.com", source_account = "123456789012" } }
  }

  expect_failures = [var.allowed_services]
}

run "cors_without_a_url" {
  command = plan

  variables {
    cors       = { allow_origins = ["https://chat.example.com"] }
    front_door = "buffered"
  }

  expect_failures = [var.cors]
}

run "cors_for_a_path" {
  command = plan

  variables {
    cors = { allow_origins = ["https://chat.example.com/page"] }
  }

  expect_failures = [var.cors]
}

run "cors_with_credentials_for_everyone" {
  command = plan

  variables {
    cors = { allow_origins = ["*"], allow_credentials = true }
  }

  expect_failures = [var.cors]
}

run "cors_for_options" {
  command = plan

  variables {
    cors = { allow_origins = ["*"], allow_methods = ["OPTIONS"] }
  }

  expect_failures = [var.cors]
}

run "cors_for_a_year" {
  command = plan

  variables {
    cors = { allow_origins = ["*"], max_age = 31536000 }
  }

  expect_failures = [var.cors]
}

run "an_unknown_log_format" {
  command = plan

  variables {
    logging = { format = "xml" }
  }

  expect_failures = [var.logging]
}

run "a_log_level_of_text" {
  command = plan

  variables {
    logging = { format = "Text", application_level = "INFO" }
  }

  expect_failures = [var.logging]
}

run "an_unknown_log_level" {
  command = plan

  variables {
    logging = { format = "JSON", application_level = "WARN" }
  }

  expect_failures = [var.logging]
}

run "an_unknown_system_log_level" {
  command = plan

  variables {
    logging = { format = "JSON", system_level = "ERROR" }
  }

  expect_failures = [var.logging]
}

run "an_unknown_tracing" {
  command = plan

  variables {
    tracing = "On"
  }

  expect_failures = [var.tracing]
}

run "a_further_layer_without_version" {
  command = plan

  variables {
    layers = ["arn:aws:lambda:eu-central-1:123456789012:layer:otel"]
  }

  expect_failures = [var.layers]
}

run "a_further_layer_for_x86" {
  command = plan

  variables {
    layers = ["arn:aws:lambda:eu-central-1:123456789012:layer:opentelemetry-collector-amd64-0_17_0:1"]
  }

  expect_failures = [var.layers]
}

run "the_web_adapter_for_x86" {
  command = plan

  variables {
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:LambdaAdapterLayerX86:30"
  }

  expect_failures = [var.web_adapter_layer_arn]
}

run "more_layers_than_lambda_takes" {
  command = plan

  variables {
    layers = [for number in range(5) : "arn:aws:lambda:eu-central-1:123456789012:layer:one:${number + 1}"]
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_layer_of_another_region" {
  command = plan

  variables {
    layers = ["arn:aws:lambda:us-east-1:123456789012:layer:one:1"]
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_key_of_another_region" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  expect_failures = [aws_lambda_function.this]
}

run "code_signing_by_a_profile" {
  command = plan

  variables {
    code_signing_config_arn = "arn:aws:signer:eu-central-1:123456789012:/signing-profiles/mine"
  }

  expect_failures = [var.code_signing_config_arn]
}

run "code_signing_of_a_local_zip" {
  command = plan

  variables {
    code_signing_config_arn = "arn:aws:lambda:eu-central-1:123456789012:code-signing-config:csc-0123456789abcdef0"
  }

  expect_failures = [var.code_signing_config_arn]
}

run "a_vpc_without_security_group" {
  command = plan

  variables {
    vpc = { subnet_ids = ["subnet-1"], security_group_ids = [] }
  }

  expect_failures = [var.vpc]
}

run "a_vpc_by_its_names" {
  command = plan

  variables {
    vpc = { subnet_ids = ["private"], security_group_ids = ["default"] }
  }

  expect_failures = [var.vpc]
}

run "a_description_as_long_as_a_page" {
  command = plan

  variables {
    description = join(" ", [for number in range(100) : "word"])
  }

  expect_failures = [var.description]
}

run "a_revision_of_words" {
  command = plan

  variables {
    revision = "try again"
  }

  expect_failures = [var.revision]
}

run "a_timeout_without_unit" {
  command = plan

  variables {
    timeouts = { create = "30" }
  }

  expect_failures = [var.timeouts]
}

run "a_canary_without_its_model" {
  command = plan

  variables {
    canary = { stable_version = "6", weight = 0.1 }
  }

  expect_failures = [var.canary]
}

run "sessions_in_a_uri" {
  command = plan

  variables {
    sessions = { bucket = "s3://my-models", prefix = "sessions/" }
  }

  expect_failures = [var.sessions]
}

run "sessions_with_an_alias" {
  command = plan

  variables {
    sessions = { bucket = "my-models", prefix = "sessions/", kms_key_arn = "alias/sessions" }
  }

  expect_failures = [var.sessions]
}

run "a_misspelt_setting" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_MAX_TOKEN = "100" }
  }

  expect_failures = [var.environment]
}

run "a_setting_of_another_function" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_PRUNE_KEEP_NEWEST = "1" }
  }

  expect_failures = [var.environment]
}

run "a_setting_in_lower_case" {
  command = plan

  variables {
    environment = { lambda_llm_queue = "1" }
  }

  expect_failures = [var.environment]
}

run "a_setting_with_an_unknown_value" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_WEIGHTS = "copy" }
  }

  expect_failures = [var.environment]
}

run "a_setting_that_is_no_number" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_QUEUE = "many" }
  }

  expect_failures = [var.environment]
}

run "a_setting_that_is_too_small" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_MAX_TOKENS = "0" }
  }

  expect_failures = [var.environment]
}

run "a_setting_that_is_no_list" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_MODEL_ALIASES = "one, two" }
  }

  expect_failures = [var.environment]
}

run "a_variable_without_a_valid_name" {
  command = plan

  variables {
    environment = { "MY-VARIABLE" = "x" }
  }

  expect_failures = [var.environment]
}

run "a_variable_of_lambda" {
  command = plan

  variables {
    environment = { AWS_REGION = "us-east-1" }
  }

  expect_failures = [var.environment]
}

run "a_web_adapter_that_does_not_stream" {
  command = plan

  variables {
    environment = { AWS_LWA_INVOKE_MODE = "buffered" }
  }

  expect_failures = [var.environment]
}

run "an_environment_too_large_for_lambda" {
  command = plan

  variables {
    environment = { OTEL_RESOURCE_ATTRIBUTES = join(",", [for number in range(600) : "key=ü"]) }
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_model_of_unknown_size" {
  command = plan

  variables {
    model = merge(var.model, { size = null })
  }

  expect_failures = [var.model]
}

run "a_key_that_no_policy_can_name" {
  command = plan

  variables {
    model = merge(var.model, { key = "models/模型.gguf" })
  }

  expect_failures = [var.model]
}

run "a_previous_model_of_any_bucket" {
  command = plan

  variables {
    previous_models = [{ bucket = "*", key = "models/llama.gguf", version_id = "v" }]
  }

  expect_failures = [var.previous_models]
}

run "no_previous_model_at_all" {
  command = plan

  variables {
    previous_models = [null]
  }

  expect_failures = [var.previous_models]
}

run "any_key_of_a_previous_model" {
  command = plan

  variables {
    previous_models = [{ bucket = "my-models", key = "models/llama.gguf", version_id = "v", kms_key_arn = "*" }]
  }

  expect_failures = [var.previous_models]
}

run "a_further_system_prompt_of_nothing" {
  command = plan

  variables {
    system_prompts = [null]
  }

  expect_failures = [var.system_prompts]
}

run "an_allowed_principal_with_a_wildcard" {
  command = plan

  variables {
    allowed_principals = { all = "arn:aws:iam::123456789012:role/app-????" }
  }

  expect_failures = [var.allowed_principals]
}

run "a_service_for_anybody_s_bucket" {
  command = plan

  variables {
    allowed_services = { upload = { service = "s3.amazonaws.com", source_arn = "arn:aws:s3:::*" } }
  }

  expect_failures = [var.allowed_services]
}

run "a_service_for_any_account" {
  command = plan

  variables {
    allowed_services = { rule = { service = "events.amazonaws.com", source_arn = "arn:aws:events:eu-central-1:*:rule/*" } }
  }

  expect_failures = [var.allowed_services]
}

run "a_service_of_nothing" {
  command = plan

  variables {
    allowed_services = { rule = null }
  }

  expect_failures = [var.allowed_services]
}

run "cors_for_nobody" {
  command = plan

  variables {
    cors = { allow_origins = [] }
  }

  expect_failures = [var.cors]
}

run "cors_for_null" {
  command = plan

  variables {
    cors = { allow_origins = null }
  }

  expect_failures = [var.cors]
}

run "cors_for_no_method" {
  command = plan

  variables {
    cors = { allow_origins = ["*"], allow_methods = [null] }
  }

  expect_failures = [var.cors]
}

run "a_vpc_of_nothing" {
  command = plan

  variables {
    vpc = { subnet_ids = null, security_group_ids = [null] }
  }

  expect_failures = [var.vpc]
}

run "a_vpc_with_more_subnets_than_lambda_takes" {
  command = plan

  variables {
    vpc = { subnet_ids = [for number in range(17) : "subnet-${number}"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.vpc]
}

run "a_setting_that_lists_numbers" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_MODEL_ALIASES = "[1]" }
  }

  expect_failures = [var.environment]
}

run "a_variable_without_value" {
  command = plan

  variables {
    environment = { OTEL_SERVICE_NAME = null }
  }

  expect_failures = [var.environment]
}

run "two_versions_of_a_layer" {
  command = plan

  variables {
    layers = ["arn:aws:lambda:eu-central-1:123456789012:layer:one:1", "arn:aws:lambda:eu-central-1:123456789012:layer:one:2"]
  }

  expect_failures = [aws_lambda_function.this]
}

run "the_web_adapter_where_its_layer_is_not_published" {
  command = plan

  variables {
    layers = []
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-us-gov" }
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_layer_of_another_partition" {
  command = plan

  variables {
    layers = ["arn:aws-cn:lambda:eu-central-1:123456789012:layer:one:1"]
  }

  expect_failures = [aws_lambda_function.this]
}
