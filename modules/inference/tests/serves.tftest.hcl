# What a stack gets. Nothing is applied to an account; the local AWS does that in tests/.

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
    previous_models    = [{ bucket = "my-models", key = "models/llama.gguf", version_id = "older" }]
    context            = 16384
    kv_type            = "q8_0"
    system_prompt      = "s3://my-prompts/support.txt"
    system_prompts     = ["You are short.", "s3://my-prompts/sales.txt"]
    timeout            = 60
    sessions           = { bucket = "my-models", prefix = "sessions/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/66666666-2222-3333-4444-555555555555" }
    allowed_principals = { partner = "123456789012", app = "arn:aws:iam::210987654321:role/app", everyone = "o-a1b2c3d4e5" }
    allowed_services   = { rule = { service = "events.amazonaws.com", source_arn = "arn:aws:events:eu-central-1:123456789012:rule/nightly" } }
    canary             = { stable_version = "6", weight = 0.1 }
    environment        = { LAMBDA_LLM_WEIGHTS = "mapped", OTEL_SERVICE_NAME = "chat", AWS_LWA_ASYNC_INIT = "true" }
    log_kms_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/77777777-2222-3333-4444-555555555555"
    kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/88888888-2222-3333-4444-555555555555"

    path                 = "/teams/search/"
    permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"

    reserved_concurrency  = 5
    log_retention_days    = 30
    web_adapter_layer_arn = "arn:aws:lambda:eu-central-1:123456789012:layer:own-adapter:3"
    tags                  = { team = "search" }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["OTEL_SERVICE_NAME"] == "chat" && aws_lambda_function.this.environment[0].variables["AWS_LWA_ASYNC_INIT"] == "true"
    error_message = "A variable of another layer did not arrive."
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
    condition     = alltrue([for permissions in [aws_lambda_permission.invoke, aws_lambda_permission.invoke_url] : { for key, permission in permissions : key => permission.principal } == { partner = "arn:aws:iam::123456789012:root", app = "arn:aws:iam::210987654321:role/app", everyone = "*" }])
    error_message = "A caller lacks one of the two permissions that a Function URL needs."
  }

  assert {
    condition     = alltrue([for permissions in [aws_lambda_permission.invoke, aws_lambda_permission.invoke_url] : permissions["everyone"].principal_org_id == "o-a1b2c3d4e5" && permissions["app"].principal_org_id == null])
    error_message = "A function for an organization is open to everyone."
  }

  assert {
    condition     = aws_lambda_permission.service["rule"].principal == "events.amazonaws.com" && aws_lambda_permission.service["rule"].source_arn == "arn:aws:events:eu-central-1:123456789012:rule/nightly" && aws_lambda_permission.service["rule"].action == "lambda:InvokeFunction" && aws_lambda_permission.service["rule"].qualifier == "live"
    error_message = "The service may not invoke the alias, or does so for anybody."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.invoke : permission.qualifier == "live"]) && alltrue([for permission in aws_lambda_permission.invoke_url : permission.qualifier == "live" && permission.function_url_auth_type == "AWS_IAM"])
    error_message = "A permission is not for the alias."
  }

  assert {
    condition     = aws_lambda_function.this.tags == tomap({ team = "search", lambda-llm = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }) && aws_lambda_function.this.layers == tolist([var.web_adapter_layer_arn])
    error_message = "The function lacks a tag or has another layer."
  }
}

run "an_uploaded_package_behind_the_buffered_front_door" {
  variables {
    front_door         = "buffered"
    allowed_principals = { partner = "123456789012" }
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
    model = {
      bucket     = "my-models"
      key        = "models/llama.gguf"
      version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
      size       = 6000000000
      sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    }
  }

  expect_failures = [check.weights_are_repacked]
}

run "in_a_stack_with_its_own_rules" {
  variables {
    role      = { name = "mine", arn = "arn:aws:iam::123456789012:role/mine" }
    log_group = { name = "/mine", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/mine" }
    package = {
      manifest    = "tests/fixtures/function.manifest.json"
      s3          = { bucket = "artifacts", key = "signed.zip", version_id = "1" }
      code_sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
    code_signing_config_arn = "arn:aws:lambda:eu-central-1:123456789012:code-signing-config:csc-0123456789abcdef0"
    vpc                     = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    layers                  = ["arn:aws:lambda:eu-central-1:184161586896:layer:opentelemetry-collector-arm64-0_17_0:1"]
    logging                 = { format = "JSON", application_level = "DEBUG", system_level = "WARN" }
    tracing                 = "Active"
    cors                    = { allow_origins = ["https://chat.example.com"] }
    description             = "What the team asks"
    revision                = "2"
    timeouts                = { update = "1h" }
  }

  assert {
    condition     = length(aws_iam_role_policy.this) == 0 && aws_lambda_function.this.role == "arn:aws:iam::123456789012:role/mine" && output.role_name == "mine"
    error_message = "The function has another role than the stack's, or the stack's role is changed."
  }

  assert {
    condition     = toset([for statement in data.aws_iam_policy_document.this.statement : statement.sid]) == toset(["ReadModel0", "WriteTraces", "AttachToSubnets", "NotByItsCode"]) && length(data.aws_iam_policy_document.needed.source_policy_documents) == 2 && output.policy_json == "{}"
    error_message = "What the stack's role needs is not told."
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.this.statement : statement if statement.sid == "NotByItsCode"]).effect == "Deny" && one(one([for statement in data.aws_iam_policy_document.this.statement : statement if statement.sid == "NotByItsCode"]).condition).values == tolist(["arn:aws:lambda:*:*:function:chat"])
    error_message = "The function's own code may change the network."
  }

  assert {
    condition     = aws_lambda_function.this.vpc_config[0].subnet_ids == toset(["subnet-1", "subnet-2"]) && aws_lambda_function.this.vpc_config[0].security_group_ids == toset(["sg-1"])
    error_message = "The function is not in its subnets."
  }

  assert {
    condition     = aws_lambda_function.this.layers == tolist(["arn:aws:lambda:eu-central-1:753240598075:layer:LambdaAdapterLayerArm64:30", var.layers[0]]) && aws_lambda_function.this.code_signing_config_arn == var.code_signing_config_arn && aws_lambda_function.this.source_code_hash == var.package.code_sha256
    error_message = "A layer is missing, or the signed zip is not the one that is expected."
  }

  assert {
    condition     = aws_lambda_function.this.logging_config[0].log_format == "JSON" && aws_lambda_function.this.logging_config[0].application_log_level == "DEBUG" && aws_lambda_function.this.logging_config[0].system_log_level == "WARN" && aws_lambda_function.this.logging_config[0].log_group == "/mine" && aws_lambda_function.this.tracing_config[0].mode == "Active"
    error_message = "The function logs or traces otherwise than was asked for."
  }

  assert {
    condition     = aws_lambda_function_url.live[0].cors[0].allow_origins == toset(["https://chat.example.com"]) && aws_lambda_function_url.live[0].cors[0].allow_methods == toset(["GET", "POST"])
    error_message = "The page may not read responses."
  }

  assert {
    condition     = aws_lambda_function.this.description == "What the team asks" && aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_REVISION"] == "2"
    error_message = "A new revision would not publish anything."
  }
}

# 4,096 bytes as Lambda measures them, of which jsonencode writes every bracket as six.
run "an_environment_of_just_what_lambda_takes" {
  variables {
    environment = { TEMPLATE = join("", [for number in range(341) : "<<<<<<<<<<"]) }
  }

  assert {
    condition     = local.environment_bytes <= 4096 && local.environment_bytes > 4000
    error_message = "The environment is measured otherwise than by Lambda: ${local.environment_bytes}."
  }
}

run "a_model_that_does_not_say_its_context" {
  command = plan

  variables {
    context = 8192
    model   = merge(var.model, { memory = { kv_per_token = { f16 = 131072, q8_0 = 69632 }, per_token = 2048, fixed = 500000000 } })
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_CONTEXT"] == "8192"
    error_message = "The context did not arrive."
  }
}
