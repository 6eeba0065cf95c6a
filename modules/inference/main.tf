# The one configuration in which a model runs well on Lambda. Its literals are deliberately no inputs: tests verify them
# against functions/lambda_llm/limits.py, and the project's policies check them in any plan.

data "aws_partition" "current" {}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "lambda" {
  service_id = "lambda"
}

locals {
  alias = "live"

  memory_bytes  = 10240 * 1024 * 1024
  process_bytes = 256 * 1024 * 1024

  # Init may take as long as the timeout, and at least 130 s; a fifth is reserved for llama.cpp and the system prompt.
  load_seconds     = floor(max(130, var.timeout) * 4 / 5)
  download_seconds = nonsensitive(var.model.size * 8 / (625 * 1000 * 1000))

  # The same sum as in lambda_llm.gguf.memory_plan, for weights that are mapped from the memory file.
  context_tokens = var.context != null ? var.context : min(coalesce(try(var.model.memory.context_length, null), 4096), 4096)
  cached_tokens  = ceil(local.context_tokens / 256) * 256
  beside_weights = try(
    local.cached_tokens * var.model.memory.kv_per_token[var.kv_type]
    + local.context_tokens * var.model.memory.per_token
    + var.model.memory.fixed,
    local.process_bytes
  )
  resident_bytes = nonsensitive(var.model.size + local.beside_weights)

  web_adapter_layer_arn = coalesce(
    var.web_adapter_layer_arn,
    # Lambda Web Adapter 1.1.0, the first with hooks for SnapStart.
    "arn:${data.aws_partition.current.partition}:lambda:${local.region}:753240598075:layer:LambdaAdapterLayerArm64:30"
  )

  region = data.aws_service.lambda.region

  # The names and values that settings may have, as the package's code reads them.
  known_settings = jsondecode(file("${path.module}/settings.json"))

  settings = merge(
    {
      LAMBDA_LLM_MODEL            = "s3://${var.model.bucket}/${var.model.key}"
      LAMBDA_LLM_MODEL_VERSION_ID = var.model.version_id
      LAMBDA_LLM_MODEL_SHA256     = lower(var.model.sha256)
      LAMBDA_LLM_MODEL_SIZE       = tostring(var.model.size)
      LAMBDA_LLM_KV_TYPE          = var.kv_type
      LAMBDA_LLM_LOAD_SECONDS     = tostring(local.load_seconds)
    },
    var.context == null ? {} : { LAMBDA_LLM_CONTEXT = tostring(var.context) },
    var.system_prompt == null ? {} : { LAMBDA_LLM_SYSTEM_PROMPT = var.system_prompt },
    length(var.system_prompts) == 0 ? {} : { LAMBDA_LLM_SYSTEM_PROMPTS = jsonencode(var.system_prompts) },
    var.sessions == null ? {} : { LAMBDA_LLM_SESSIONS = "s3://${var.sessions.bucket}/${var.sessions.prefix}" },
    var.revision == null ? {} : { LAMBDA_LLM_REVISION = var.revision },
  )

  settings_of_this_module = [
    "LAMBDA_LLM_MODEL",
    "LAMBDA_LLM_MODEL_VERSION_ID",
    "LAMBDA_LLM_MODEL_SHA256",
    "LAMBDA_LLM_MODEL_SIZE",
    "LAMBDA_LLM_KV_TYPE",
    "LAMBDA_LLM_LOAD_SECONDS",
    "LAMBDA_LLM_CONTEXT",
    "LAMBDA_LLM_SYSTEM_PROMPT",
    "LAMBDA_LLM_SYSTEM_PROMPTS",
    "LAMBDA_LLM_SESSIONS",
    "LAMBDA_LLM_MEMORY_MB",
    "LAMBDA_LLM_REVISION",
  ]

  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
  variables_of_lambda = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
  ]

  # Variables of the web adapter that decide whether responses stream and the snapshot is right.
  variables_of_the_web_adapter = [
    "AWS_LAMBDA_EXEC_WRAPPER",
    "AWS_LWA_ERROR_STATUS_CODES",
    "AWS_LWA_INVOKE_MODE",
    "AWS_LWA_PASS_THROUGH_PATH",
    "AWS_LWA_PORT",
    "AWS_LWA_READINESS_CHECK_HEALTHY_STATUS",
    "AWS_LWA_READINESS_CHECK_PATH",
    "AWS_LWA_READINESS_CHECK_PORT",
    "AWS_LWA_READINESS_CHECK_PROTOCOL",
    "AWS_LWA_REMOVE_BASE_PATH",
    "AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH",
    "AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH",
  ]

  # The web adapter polls the health check until the server listens, which it does only after the warm-up. The server
  # rejects external requests to the two snapshot paths. Its status 555, for an event that is no request, fails the
  # invocation, so that a queue does not delete the message.
  web_adapter = {
    AWS_LAMBDA_EXEC_WRAPPER                  = "/var/task/${module.function.exec_wrapper}"
    AWS_LWA_PORT                             = "8080"
    AWS_LWA_INVOKE_MODE                      = "response_stream"
    AWS_LWA_READINESS_CHECK_PATH             = "/health"
    AWS_LWA_READINESS_CHECK_HEALTHY_STATUS   = "200-399"
    AWS_LWA_ERROR_STATUS_CODES               = "555"
    AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH = "/snapshot/before"
    AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH     = "/snapshot/after"
  }

  environment = merge(var.environment, local.settings, var.front_door == "streaming" ? local.web_adapter : {})

  # Lambda limits the environment's size as JSON. jsonencode writes these five characters as six bytes each, Lambda as
  # one or three. base64 gives the size in bytes: four characters for every three.
  measured_environment = { for key, value in local.environment : key => replace(replace(value, "/[<>&]/", "x"), "/[\u2028\u2029]/", "xxx") }
  environment_bytes    = nonsensitive(length(base64encode(jsonencode(local.measured_environment))) / 4 * 3 - length(regexall("=", base64encode(jsonencode(local.measured_environment)))))

  layers = concat(var.front_door == "streaming" ? [local.web_adapter_layer_arn] : [], var.layers)
  # Each of these must be in the function's region. An ARN is no secret, even if it comes from a parameter that is one.
  elsewhere = nonsensitive([for arn in concat(local.layers, compact([var.kms_key_arn, var.log_kms_key_arn])) : arn if split(":", arn)[3] != local.region || split(":", arn)[1] != data.aws_partition.current.partition])
}

module "function" {
  source = "../function"

  name                 = var.name
  function             = "inference"
  mark                 = "inference"
  package              = var.package
  role_description     = "What the inference function ${var.name} may do"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  role                 = var.role
  log_group            = var.log_group
  log_retention_days   = var.log_retention_days
  log_kms_key_arn      = var.log_kms_key_arn
  tags                 = local.tags
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:Requests are synchronous; a dead letter queue would stay empty.
  #checkov:skip=CKV_AWS_117:It calls only S3, through Lambda's own network; var.vpc puts it into a VPC.
  #checkov:skip=CKV_AWS_115:The deployer chooses the limit: var.reserved_concurrency.
  #checkov:skip=CKV_AWS_173:Lambda encrypts the environment; var.kms_key_arn sets a customer managed key.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; var.code_signing_config_arn has it checked by Lambda.
  function_name = var.name
  description   = var.description != null ? var.description : substr("${var.model.key} ${var.model.version_id}", 0, 256)
  role          = module.function.role_arn

  # The invariants.
  memory_size   = 10240
  architectures = ["arm64"]
  runtime       = "python3.13"
  package_type  = "Zip"
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  ephemeral_storage {
    size = 512
  }

  filename          = module.function.filename
  s3_bucket         = module.function.s3_bucket
  s3_key            = module.function.s3_key
  s3_object_version = module.function.s3_object_version
  source_code_hash  = module.function.source_code_hash
  handler           = module.function.handler
  layers            = local.layers

  code_signing_config_arn = var.code_signing_config_arn

  timeout                        = var.timeout
  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = local.environment
  }

  logging_config {
    log_format            = var.logging.format
    application_log_level = var.logging.application_level
    system_log_level      = var.logging.system_level
    log_group             = module.function.log_group_name
  }

  tracing_config {
    mode = var.tracing
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]

    content {
      subnet_ids                  = vpc_config.value.subnet_ids
      security_group_ids          = vpc_config.value.security_group_ids
      ipv6_allowed_for_dual_stack = vpc_config.value.ipv6
    }
  }

  tags = module.function.tags

  # Publishing waits for init and the snapshot, which may take longer than the provider's default of 10 minutes.
  timeouts {
    create = var.timeouts.create
    update = var.timeouts.update
    delete = var.timeouts.delete
  }

  # Init reads the model, so the role needs its policy first.
  depends_on = [aws_iam_role_policy.this]

  # Rules that depend on several inputs; those of a single input are validations of its variable.
  lifecycle {
    precondition {
      condition     = var.model.memory == null || try(local.resident_bytes <= local.memory_bytes, false)
      error_message = "The model does not fit into 10,240 MB with this context: weights, KV cache, compute buffers and process together need ${format("%.0f", local.resident_bytes / 1024 / 1024)} MB; shorten context, set kv_type = \"q8_0\", or use a smaller quantization; `lambda-llm inspect MODEL --context TOKENS` shows the sum."
    }

    precondition {
      condition     = lookup(var.environment, "LAMBDA_LLM_WEIGHTS", "auto") != "copied" || var.model.size * 2 + local.process_bytes <= local.memory_bytes
      error_message = "LAMBDA_LLM_WEIGHTS=copied needs two copies of the model during loading, which exceed 10,240 MB: leave it out, so that the weights are mapped from the downloaded file, or use a smaller quantization."
    }

    precondition {
      condition     = local.environment_bytes <= 4 * 1024
      error_message = "The function's environment would have ${local.environment_bytes} bytes, more than the 4,096 that Lambda accepts: put the system prompt into an S3 object and set system_prompt = \"s3://bucket/key\"."
    }

    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "${join(", ", local.elsewhere)} must be in ${local.region} of the partition ${data.aws_partition.current.partition}, as the function is: use a layer and keys of that region."
    }

    precondition {
      condition     = length(local.layers) <= 5
      error_message = "The function would have ${nonsensitive(length(local.layers))} layers${nonsensitive(var.front_door) == "streaming" ? ", the web adapter's included" : ""}, and Lambda accepts at most 5: leave some of layers out."
    }

    precondition {
      condition     = length(distinct([for arn in local.layers : replace(arn, "/:[0-9]+$/", "")])) == length(local.layers)
      error_message = "The function would have two versions of one layer, and Lambda accepts one: leave one of them out of layers; the web adapter's is there already."
    }

    # https://aws.github.io/aws-lambda-web-adapter/getting-started/zip-packages.html: for x86_64 only in China.
    precondition {
      condition     = var.front_door != "streaming" || var.web_adapter_layer_arn != null || data.aws_partition.current.partition == "aws"
      error_message = "The Lambda Web Adapter has no public layer for arm64 in the partition ${data.aws_partition.current.partition}: publish one in your account and set web_adapter_layer_arn, or set front_door = \"buffered\"."
    }

    precondition {
      condition     = local.download_seconds <= local.load_seconds
      error_message = "The model cannot be loaded in time: at the 625 Mbps of an environment its download takes ${ceil(local.download_seconds)} s, and the limit is ${local.load_seconds} s, four fifths of init (timeout, but at least 130 s); raise timeout (to at most 900) or use a smaller model."
    }
  }
}

# All traffic goes through the alias. A version that fails to initialize ends the apply before the alias moves.
resource "aws_lambda_alias" "live" {
  name             = local.alias
  description      = "The version that serves"
  function_name    = aws_lambda_function.this.function_name
  function_version = var.canary == null ? aws_lambda_function.this.version : var.canary.stable_version

  dynamic "routing_config" {
    for_each = var.canary == null ? [] : [var.canary]

    content {
      additional_version_weights = {
        (aws_lambda_function.this.version) = routing_config.value.weight
      }
    }
  }

  # The policy of the models served before is deleted only after this has moved.
  depends_on = [aws_iam_role_policy.this]

  lifecycle {
    precondition {
      condition     = var.canary == null || aws_lambda_function.this.version != try(var.canary.stable_version, null)
      error_message = "canary.stable_version is the newest version itself, and a canary needs an older one: leave canary out until a newer version is published."
    }
  }
}
