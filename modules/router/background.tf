# Requests that outlast a front door: the function puts them into a queue, a worker of the same package answers them, and the
# answer is in S3 until it expires. What can't be answered ends in a dead letter queue.

locals {
  background = var.background == null ? 0 : 1
  worker     = "${var.name}-worker"

  # The dead letter queue takes messages of this queue alone, which in turn names it: so its ARN is made up here.
  queue     = "${var.name}-background"
  queue_arn = "arn:${local.partition}:sqs:${local.region}:${split(":", module.function.role_arn)[4]}:${local.queue}"
}

# As part of a queue, "*" is that queue.
data "aws_iam_policy_document" "queue" {
  count = local.background

  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = ["*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue" "background" {
  count = local.background

  name                              = local.queue
  policy                            = data.aws_iam_policy_document.queue[0].json
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 3600
  tags                              = local.tags

  # Six times the worker's timeout, as Lambda may be throttled while it has a message. The worker brings one back earlier
  # whose backends had no room.
  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
  visibility_timeout_seconds = 6 * var.background.timeout
  message_retention_seconds  = 4 * 24 * 3600

  # The worker itself gives a request up after 5 attempts, and writes so into its answer; here comes what it could not write.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[0].arn
    maxReceiveCount     = 10
  })
}

# A message keeps its age when it moves here, so this queue keeps messages longer.
resource "aws_sqs_queue" "dead_letters" {
  count = local.background

  name                              = "${local.queue}-dead-letters"
  policy                            = data.aws_iam_policy_document.queue[0].json
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 3600
  message_retention_seconds         = 14 * 24 * 3600
  tags                              = local.tags

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.queue_arn]
  })
}

module "worker" {
  source = "../function"
  count  = local.background

  name                 = local.worker
  function             = "router"
  mark                 = "router"
  package              = var.package
  role_description     = "What the worker of the router ${var.name} may do"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  log_kms_key_arn      = var.log_kms_key_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "worker" {
  count = local.background

  name   = "worker"
  role   = module.worker[0].role_id
  policy = data.aws_iam_policy_document.worker[0].json
}

resource "aws_lambda_function" "worker" {
  #checkov:skip=CKV_AWS_115:The event source mapping limits the number of its environments.
  #checkov:skip=CKV_AWS_116:The queue has a dead letter queue; nothing invokes the function asynchronously.
  #checkov:skip=CKV_AWS_117:Most backends are outside of a VPC; var.vpc puts it into one.
  #checkov:skip=CKV_AWS_173:The environment has names of a bucket, a table and a queue; var.kms_key_arn sets a customer managed key.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  count = local.background

  function_name = local.worker
  description   = "Answers the background requests of ${var.name}"
  role          = module.worker[0].role_arn
  memory_size   = local.memory_mb

  filename          = module.worker[0].filename
  s3_bucket         = module.worker[0].s3_bucket
  s3_key            = module.worker[0].s3_key
  s3_object_version = module.worker[0].s3_object_version
  source_code_hash  = module.worker[0].source_code_hash

  architectures = module.worker[0].architectures
  runtime       = module.worker[0].runtime
  handler       = module.worker[0].handler
  timeout       = var.background.timeout
  kms_key_arn   = var.kms_key_arn

  environment {
    variables = merge(var.environment, local.settings)
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.worker[0].log_level
    log_group             = module.worker[0].log_group_name
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

  tags = module.worker[0].tags

  depends_on = [aws_iam_role_policy.worker]
}

# One message at a time: an answer may take all of the worker's time.
resource "aws_lambda_event_source_mapping" "background" {
  count = local.background

  event_source_arn        = aws_sqs_queue.background[0].arn
  function_name           = aws_lambda_function.worker[0].arn
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = var.background.concurrency
  }
}
