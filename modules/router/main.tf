# One address for every model: a function that knows where each one runs. Its configuration is in configuration.tf, what its
# tenants may spend in budgets.tf, who may call it in url.tf, what its role may do in iam.tf, and what outlasts a request in
# background.tf.

data "aws_partition" "current" {}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "lambda" {
  service_id = "lambda"
}

locals {
  alias     = "live"
  partition = data.aws_partition.current.partition
  region    = data.aws_service.lambda.region
  s3        = "arn:${local.partition}:s3:::"

  # A server in front of backends waits, mostly; more memory would be more of a CPU that it does not need.
  memory_mb = 512

  web_adapter_layer_arn = coalesce(
    var.web_adapter_layer_arn,
    # Lambda Web Adapter 1.1.0, the first with hooks for SnapStart.
    "arn:${local.partition}:lambda:${local.region}:753240598075:layer:LambdaAdapterLayerArm64:30"
  )

  settings = merge(
    {
      LAMBDA_LLM_ROUTER_CONFIGURATION = local.configuration
      LAMBDA_LLM_ROUTER_TABLE         = local.table_name
      LAMBDA_LLM_ROUTER_IDENTITY      = var.identity
    },
    var.background == null ? {} : {
      LAMBDA_LLM_ROUTER_RESULTS = "s3://${aws_s3_bucket.this[0].id}/${local.prefixes.results}"
      LAMBDA_LLM_ROUTER_QUEUE   = aws_sqs_queue.background[0].id
    },
    var.batches == null ? {} : {
      LAMBDA_LLM_ROUTER_BATCHES       = var.batches.store
      LAMBDA_LLM_ROUTER_BATCH_MACHINE = var.batches.state_machine_arn
    },
  )

  # Of s3://BUCKET/PREFIX/, as ARNs have it.
  batches = var.batches == null ? null : trimprefix(var.batches.store, "s3://")

  # The web adapter polls the health check until the server listens. The server rejects external requests to the two snapshot
  # paths. Its status 555, for an event that is no request, fails the invocation.
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

  # Each of these must be in the function's region. An ARN is no secret, even if it comes from a parameter that is one.
  elsewhere = nonsensitive([for arn in concat([local.web_adapter_layer_arn], compact([var.kms_key_arn, var.log_kms_key_arn, try(var.budgets.table.arn, null), try(var.batches.state_machine_arn, null)])) : arn if split(":", arn)[3] != local.region || split(":", arn)[1] != local.partition])
}

module "function" {
  source = "../function"

  name                 = var.name
  function             = "router"
  mark                 = "router"
  package              = var.package
  role_description     = "What the router ${var.name} may do"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  log_kms_key_arn      = var.log_kms_key_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "function" {
  name   = "router"
  role   = module.function.role_id
  policy = data.aws_iam_policy_document.function.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_115:The deployer chooses the limit: var.reserved_concurrency.
  #checkov:skip=CKV_AWS_116:Requests are synchronous; a dead letter queue would stay empty.
  #checkov:skip=CKV_AWS_117:Most backends are outside of a VPC; var.vpc puts it into one.
  #checkov:skip=CKV_AWS_173:The environment has names of a bucket, a table and a queue; var.kms_key_arn sets a customer managed key.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  function_name = var.name
  description   = var.description != null ? var.description : "Sends requests to the models' backends"
  role          = module.function.role_arn

  memory_size = local.memory_mb
  publish     = true

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

  architectures = module.function.architectures
  runtime       = module.function.runtime
  handler       = module.function.handler
  layers        = [local.web_adapter_layer_arn]
  timeout       = var.timeout

  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = merge(var.environment, local.settings, local.web_adapter)
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.function.log_level
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

  # Publishing waits for init and the snapshot.
  timeouts {
    create = "15m"
    update = "15m"
  }

  # Init reads the configuration, so the role needs its policy and the object must be there first.
  depends_on = [aws_iam_role_policy.function, aws_s3_object.configuration]

  lifecycle {
    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "${join(", ", local.elsewhere)} must be in ${local.region} of the partition ${local.partition}, as the function is: use a layer, a table, a state machine and keys of that region."
    }

    # https://aws.github.io/aws-lambda-web-adapter/getting-started/zip-packages.html: for x86_64 only in China.
    precondition {
      condition     = var.web_adapter_layer_arn != null || local.partition == "aws"
      error_message = "The Lambda Web Adapter has no public layer for arm64 in the partition ${local.partition}: publish one in your account and set web_adapter_layer_arn."
    }
  }
}

# All traffic goes through the alias. A version that fails to initialize ends the apply before the alias moves.
resource "aws_lambda_alias" "live" {
  name             = local.alias
  description      = "The version that serves"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}
