# Batches of requests: two functions of one package, and a state machine that calls them. What they work on is in store.tf, what
# they may do in iam.tf and bedrock.tf, the state machine in machine.tf, what starts batches by itself in inbox.tf.

data "aws_partition" "current" {}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "lambda" {
  service_id = "lambda"
}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_service.lambda.region
  account   = split(":", module.function["index"].role_arn)[4]

  # Indexing and joining stream files of any size, in buffers; a worker waits, mostly.
  functions = {
    index  = { memory_mb = 2048, description = "Indexes the batches of ${var.name} and joins their answers" }
    worker = { memory_mb = 512, description = "Answers parts of the batches of ${var.name}" }
  }

  # Of all models.
  lambda_backends  = flatten([for model in values(var.models) : values(model.lambda)])
  bedrock_backends = flatten([for model in values(var.models) : values(model.bedrock)])
  gpu_backends     = flatten([for model in values(var.models) : values(model.gpu)])

  # Step Functions asks AWS Batch of its own region, and functions and buckets take no key of another one. An ARN is no secret,
  # even if it comes from a parameter that is one.
  elsewhere = nonsensitive([
    for arn in concat(compact([var.kms_key_arn, var.log_kms_key_arn, try(var.store.existing.kms_key_arn, null)]), local.gpu_backends[*].queue, local.gpu_backends[*].definition) :
    arn if split(":", arn)[3] != local.region || split(":", arn)[1] != local.partition
  ])
}

module "function" {
  source   = "../function"
  for_each = local.functions

  name                 = "${var.name}-${each.key}"
  function             = "batch"
  mark                 = "batch"
  package              = var.package
  role_description     = "What the function ${var.name}-${each.key} may do"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  log_kms_key_arn      = var.log_kms_key_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name   = "batch"
  role   = module.function[each.key].role_id
  policy = each.key == "index" ? data.aws_iam_policy_document.index.json : data.aws_iam_policy_document.worker.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_115:The state machine limits the number of workers, and runs one index at a time for a batch.
  #checkov:skip=CKV_AWS_116:The state machine retries what failed; uploads whose event was lost are found by the schedule.
  #checkov:skip=CKV_AWS_117:It calls AWS's APIs only.
  #checkov:skip=CKV_AWS_173:The environment has the name of a bucket; var.kms_key_arn sets a customer managed key.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  for_each = local.functions

  function_name = "${var.name}-${each.key}"
  description   = each.value.description
  role          = module.function[each.key].role_arn

  memory_size = each.value.memory_mb
  timeout     = 900

  filename          = module.function[each.key].filename
  s3_bucket         = module.function[each.key].s3_bucket
  s3_key            = module.function[each.key].s3_key
  s3_object_version = module.function[each.key].s3_object_version
  source_code_hash  = module.function[each.key].source_code_hash

  architectures = module.function[each.key].architectures
  runtime       = module.function[each.key].runtime
  handler       = module.function[each.key].handler
  kms_key_arn   = var.kms_key_arn

  environment {
    variables = merge(var.environment, { LAMBDA_LLM_BATCH_STORE = local.store })
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.function[each.key].log_level
    log_group             = module.function[each.key].log_group_name
  }

  tracing_config {
    mode = var.tracing
  }

  tags = module.function[each.key].tags

  depends_on = [aws_iam_role_policy.function]

  lifecycle {
    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "${join(", ", local.elsewhere)} must be in ${local.region} of the partition ${local.partition}, as the functions are: use keys, queues and job definitions of that region."
    }
  }
}
