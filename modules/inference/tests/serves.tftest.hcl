# What a stack gets. Nothing is applied to an account; the local AWS does that in tests/.

mock_provider "aws" {
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
    defaults = { result = "{\"statusCode\":200,\"body\":\"{}\"}" }
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
    sha256     = "B5BB9D8014A0F9B1D61E21E796D78DCCDF1352F23CD32812F4850B878AE4944C"
  }
  package = { path = "tests/fixtures/function.zip" }
}

run "the_least_that_must_be_said" {
  assert {
    condition     = aws_lambda_function.this.memory_size == 10240 && aws_lambda_function.this.architectures == tolist(["arm64"])
    error_message = "The function is not what a model needs."
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == "mGTxmeDh86ESQAP3fM2o6sEH3fLJ0axo/k6ZbZ1dDlo="
    error_message = "The code is not pinned by its manifest."
  }

  assert {
    condition = aws_lambda_function.this.environment[0].variables == tomap({
      LAMBDA_LLM_MODEL                         = "s3://my-models/models/llama.gguf"
      LAMBDA_LLM_MODEL_VERSION_ID              = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
      LAMBDA_LLM_MODEL_SHA256                  = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
      LAMBDA_LLM_MODEL_SIZE                    = "770000000"
      LAMBDA_LLM_KV_TYPE                       = "f16"
      LAMBDA_LLM_LOAD_SECONDS                  = "240"
      AWS_LAMBDA_EXEC_WRAPPER                  = "/var/task/bin/serve"
      AWS_LWA_PORT                             = "8080"
      AWS_LWA_INVOKE_MODE                      = "response_stream"
      AWS_LWA_READINESS_CHECK_PATH             = "/health"
      AWS_LWA_READINESS_CHECK_HEALTHY_STATUS   = "200-399"
      AWS_LWA_ERROR_STATUS_CODES               = "555"
      AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH = "/snapshot/before"
      AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH     = "/snapshot/after"
    })
    error_message = "The environment is not what the package expects."
  }

  assert {
    condition     = aws_lambda_function.this.layers == tolist(["arn:aws:lambda:eu-central-1:753240598075:layer:LambdaAdapterLayerArm64:30"])
    error_message = "The web adapter is not the region's own."
  }

  assert {
    condition     = aws_lambda_alias.live.name == "live" && aws_lambda_alias.live.function_version == "7" && length(aws_lambda_alias.live.routing_config) == 0
    error_message = "The alias does not send everything to the newest version."
  }

  assert {
    condition     = aws_lambda_function_url.live[0].qualifier == "live" && aws_lambda_function_url.live[0].authorization_type == "AWS_IAM" && aws_lambda_function_url.live[0].invoke_mode == "RESPONSE_STREAM"
    error_message = "The URL is not on the alias, not signed or not streaming."
  }

  assert {
    condition     = length(aws_lambda_permission.invoke) + length(aws_lambda_permission.invoke_url) == 0
    error_message = "Somebody may call who was not named."
  }

  assert {
    condition     = output.log_group_name == "/aws/lambda/chat" && aws_lambda_function.this.logging_config[0].log_group == output.log_group_name
    error_message = "The function writes another log than its own."
  }

  assert {
    condition     = output.version == "7" && output.alias_name == "live" && output.model.key == "models/llama.gguf" && output.sessions == null
    error_message = "The outputs do not say what was made."
  }
}

run "the_role_reads_one_object_version" {
  assert {
    condition = [for statement in data.aws_iam_policy_document.this.statement : [statement.sid, statement.actions, statement.resources]] == [
      ["ReadModel0", toset(["s3:GetObjectVersion"]), toset(["arn:aws:s3:::my-models/models/llama.gguf"])],
    ]
    error_message = "The role may do something else than read its model, beside writing its log."
  }

  assert {
    condition     = one(one([for statement in data.aws_iam_policy_document.this.statement : statement.condition if statement.sid == "ReadModel0"])).values == tolist(["3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"])
    error_message = "The role may read other versions of the model."
  }
}

run "everything_that_can_be_said" {
  variables {
    model = {
      bucket      = "my-models"
      key         = "models/llama.gguf"
      version_id  = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
      size        = 770000000
      sha256      = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
      crc64nvme   = "rosUhgp5mIg="
      kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
      memory = {
        kv_per_token   = { f16 = 32768, q8_0 = 17408 }
        per_token      = 2048
        fixed          = 400000000
        context_length = 131072
      }
    }
    previous_models = [{ bucket = "my-models", key = "models/llama.gguf", version_id = "older" }]
    context         = 16384
    kv_type         = "q8_0"
    system_prompt   = "s3://my-prompts/support.txt"
    system_prompts  = ["You are short.", "s3://my-prompts/sales.txt"]
    timeout         = 60
    sessions        = { bucket = "my-models", prefix = "sessions/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/66666666-2222-3333-4444-555555555555" }
    callers         = ["123456789012", "arn:aws:iam::210987654321:role/app"]
    canary          = { stable_version = "6", weight = 0.1 }
    environment     = { LAMBDA_LLM_WEIGHTS = "mapped" }
    log_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/77777777-2222-3333-4444-555555555555"
    kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/88888888-2222-3333-4444-555555555555"

    path                 = "/teams/search/"
    permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"

    reserved_concurrency  = 5
    log_retention_days    = 30
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:own-adapter:3"
    tags                  = { team = "search" }
  }

  assert {
    condition     = [for name in ["CONTEXT", "KV_TYPE", "SYSTEM_PROMPT", "SYSTEM_PROMPTS", "SESSIONS", "WEIGHTS", "LOAD_SECONDS"] : aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_${name}"]] == ["16384", "q8_0", "s3://my-prompts/support.txt", jsonencode(var.system_prompts), "s3://my-models/sessions/", "mapped", "104"]
    error_message = "A setting did not arrive."
  }

  assert {
    condition = { for statement in data.aws_iam_policy_document.this.statement : statement.sid => statement.resources } == {
      ReadModel0        = toset(["arn:aws:s3:::my-models/models/llama.gguf"])
      ReadModel1        = toset(["arn:aws:s3:::my-models/models/llama.gguf"])
      DecryptModel      = toset(["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"])
      ReadSystemPrompts = toset(["arn:aws:s3:::my-prompts/support.txt", "arn:aws:s3:::my-prompts/sales.txt"])
      KeepSessions      = toset(["arn:aws:s3:::my-models/sessions/*"])
      LookForSessions   = toset(["arn:aws:s3:::my-models"])
      EncryptSessions   = toset(["arn:aws:kms:eu-central-1:123456789012:key/66666666-2222-3333-4444-555555555555"])
    }
    error_message = "The role may do more, or less, than what was asked for."
  }

  assert {
    condition     = aws_lambda_alias.live.function_version == "6" && aws_lambda_alias.live.routing_config[0].additional_version_weights == tomap({ "7" = 0.1 })
    error_message = "The newest version does not get the canary's share."
  }

  assert {
    condition     = toset([for permission in aws_lambda_permission.invoke : permission.principal]) == toset(["arn:aws:iam::123456789012:root", "arn:aws:iam::210987654321:role/app"]) && toset([for permission in aws_lambda_permission.invoke_url : permission.principal]) == toset(["arn:aws:iam::123456789012:root", "arn:aws:iam::210987654321:role/app"])
    error_message = "A caller lacks one of the two permissions that a Function URL needs."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.invoke : permission.qualifier == "live"]) && alltrue([for permission in aws_lambda_permission.invoke_url : permission.qualifier == "live" && permission.function_url_auth_type == "AWS_IAM"])
    error_message = "A permission is not for the alias."
  }

  assert {
    condition     = aws_lambda_function.this.tags == tomap({ team = "search", lambda-llm = "inference" }) && aws_lambda_function.this.layers == tolist([var.web_adapter_layer_arn])
    error_message = "The function lacks a tag or has another layer."
  }
}

run "an_uploaded_package_behind_the_buffered_front_door" {
  variables {
    front_door = "buffered"
    callers    = ["123456789012"]
    package = {
      manifest = "tests/fixtures/function.manifest.json"
      s3       = { bucket = "artifacts", key = "function.zip", version_id = "1" }
    }
  }

  assert {
    condition     = aws_lambda_function.this.s3_bucket == "artifacts" && aws_lambda_function.this.filename == null && aws_lambda_function.this.handler == "lambda_llm.inference.handler.handle"
    error_message = "The function does not come from the uploaded package."
  }

  assert {
    condition     = length(aws_lambda_function.this.layers) == 0 && !anytrue([for name in keys(aws_lambda_function.this.environment[0].variables) : startswith(name, "AWS_")])
    error_message = "Something of the web adapter is left."
  }

  assert {
    condition     = length(aws_lambda_function_url.live) == 0 && output.url == null && length(aws_lambda_permission.invoke_url) == 0 && length(aws_lambda_permission.invoke) == 1
    error_message = "There is a URL, or the caller may not invoke."
  }
}

run "a_model_too_large_to_be_repacked_is_told" {
  variables {
    model = merge(var.model, { size = 6000000000 })
  }

  expect_failures = [check.weights_are_repacked]
}

run "a_version_that_snap_start_did_not_start_is_told" {
  override_data {
    target = data.aws_lambda_invocation.health
    values = { result = "{\"errorMessage\": \"This Lambda function can't serve a model\"}" }
  }

  expect_failures = [check.snap_start]
}
