# A queue in front of the model: whoever may send a message to it gets an answer in another queue, whenever there is an
# environment for it. What can't be answered ends in a dead letter queue.

locals {
  # The worker takes messages one after the other. Beside an answer each needs a restore and two calls of SQS.
  worker_timeout = var.batch_size * (var.timeout + 20)

  # The dead letter queue takes messages of this queue alone, which in turn names it: so its ARN is made up here.
  requests     = "${var.name}-requests"
  requests_arn = replace(module.inference.function_arn, "/:lambda:([^:]+:[^:]+):.*/", ":sqs:$1:${local.requests}")
}

module "inference" {
  source = "../../modules/inference"

  name                 = var.name
  model                = jsondecode(file(var.pushed_model))
  package              = var.package
  timeout              = var.timeout
  reserved_concurrency = var.reserved_concurrency

  # The worker invokes the alias itself, so there is no URL.
  front_door = "buffered"
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}

# -- Queues -------------------------------------------------------------------------------------------

# As part of a queue, "*" is that queue.
data "aws_iam_policy_document" "tls_only" {
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

resource "aws_sqs_queue" "requests" {
  name                    = local.requests
  policy                  = data.aws_iam_policy_document.tls_only.json
  sqs_managed_sse_enabled = true
  # Six times the worker's timeout, as Lambda may be throttled while it has a batch; a message that failed comes back
  # after var.retry_seconds nevertheless.
  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
  visibility_timeout_seconds = 6 * local.worker_timeout
  message_retention_seconds  = 4 * 24 * 3600

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.receives
  })
}

resource "aws_sqs_queue" "answers" {
  name                      = "${var.name}-answers"
  policy                    = data.aws_iam_policy_document.tls_only.json
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 4 * 24 * 3600
}

# A message keeps its age when it moves here, so this queue keeps messages longer.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  policy                    = data.aws_iam_policy_document.tls_only.json
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 14 * 24 * 3600

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.requests_arn]
  })
}

# -- Worker -------------------------------------------------------------------------------------------

module "worker" {
  source = "../../modules/function"

  name             = "${var.name}-worker"
  function         = "queue-worker"
  mark             = "queue-worker"
  package          = var.worker_package
  role_description = "May answer the messages of ${aws_sqs_queue.requests.name}"
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "TakeRequests"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.requests.arn]
  }

  statement {
    sid       = "AskModel"
    actions   = ["lambda:InvokeFunction"]
    resources = [module.inference.alias_arn]
  }

  statement {
    sid       = "SendAnswers"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.answers.arn]
  }
}

resource "aws_iam_role_policy" "worker" {
  name   = "worker"
  role   = module.worker.role_id
  policy = data.aws_iam_policy_document.worker.json
}

resource "aws_lambda_function" "worker" {
  #checkov:skip=CKV_AWS_50:It makes three calls for a message and logs each failure; a trace would add nothing.
  #checkov:skip=CKV_AWS_115:The event source mapping limits the number of its environments.
  #checkov:skip=CKV_AWS_116:The queue has a dead letter queue; nothing invokes the function asynchronously.
  #checkov:skip=CKV_AWS_117:It calls only Lambda and SQS.
  #checkov:skip=CKV_AWS_173:The environment contains only ARNs, URLs and numbers.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  function_name = "${var.name}-worker"
  description   = "Answers the messages of ${aws_sqs_queue.requests.name}"
  role          = module.worker.role_arn

  filename          = module.worker.filename
  s3_bucket         = module.worker.s3_bucket
  s3_key            = module.worker.s3_key
  s3_object_version = module.worker.s3_object_version
  source_code_hash  = module.worker.source_code_hash

  architectures = module.worker.architectures
  runtime       = module.worker.runtime
  handler       = module.worker.handler
  memory_size   = 256
  timeout       = local.worker_timeout

  environment {
    variables = {
      LAMBDA_LLM_QUEUE_FUNCTION       = module.inference.alias_arn
      LAMBDA_LLM_QUEUE_REQUESTS       = aws_sqs_queue.requests.id
      LAMBDA_LLM_QUEUE_ANSWERS        = aws_sqs_queue.answers.id
      LAMBDA_LLM_QUEUE_ANSWER_SECONDS = tostring(var.timeout)
      LAMBDA_LLM_QUEUE_RETRY_SECONDS  = tostring(var.retry_seconds)
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.worker.log_level
    log_group             = module.worker.log_group_name
  }

  tags = module.worker.tags

  depends_on = [aws_iam_role_policy.worker]
}

resource "aws_lambda_event_source_mapping" "requests" {
  event_source_arn        = aws_sqs_queue.requests.arn
  function_name           = aws_lambda_function.worker.arn
  batch_size              = var.batch_size
  function_response_types = ["ReportBatchItemFailures"]

  # As many messages at a time as there are environments with the model, so that none is throttled.
  scaling_config {
    maximum_concurrency = var.concurrency
  }
}
