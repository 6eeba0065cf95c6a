# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_lambda_invocation" {
    defaults = { result = "{\"statusCode\":200}" }
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
    callers = ["*"]
  }

  # The function is planned without callers, and its check waits for an apply: that counts as a failure here, and below.
  expect_failures = [var.callers, check.snap_start]
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
    canary = { stable_version = "6", weight = 1 }
  }

  expect_failures = [var.canary, check.snap_start]
}

run "a_canary_beside_latest" {
  command = plan

  variables {
    canary = { stable_version = "$LATEST", weight = 0.1 }
  }

  expect_failures = [var.canary, check.snap_start]
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

run "a_setting_of_somebody_else" {
  command = plan

  variables {
    environment = { PYTHONPATH = "/opt" }
  }

  expect_failures = [var.environment]
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
    canary = { stable_version = "7", weight = 0.1 }
  }

  expect_failures = [aws_lambda_alias.live, check.snap_start]
}
