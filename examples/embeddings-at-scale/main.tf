# Documents of a prefix in S3 become vectors in Parquet: a state machine has one function make the input of a batch, starts
# the batch, waits for its end, and has the function write the vectors. It starts by hand or by a schedule.

data "aws_partition" "current" {}

locals {
  account   = split(":", module.inference.alias_arn)[4]
  partition = data.aws_partition.current.partition

  documents = regex("^s3://(?P<bucket>[^/]+)/(?P<prefix>.*[^/])/*$", var.documents)
  vectors   = regex("^s3://(?P<bucket>[^/]+)/(?P<prefix>.*[^/])/*$", var.vectors)

  # As lambda_llm.aws.tenant_folder has it.
  folder = sha256("tenant:${var.tenant}")
  store  = "arn:${local.partition}:s3:::${module.batch.bucket}"

  chunks = {
    LAMBDA_LLM_DOCUMENTS_SIZE    = tostring(var.chunks.size)
    LAMBDA_LLM_DOCUMENTS_OVERLAP = tostring(var.chunks.overlap)
  }

  optional = merge(
    var.chunks.tokenizer == null ? {} : { LAMBDA_LLM_DOCUMENTS_TOKENIZER = var.chunks.tokenizer },
    var.index_arn == null ? {} : { LAMBDA_LLM_DOCUMENTS_VECTORS = var.index_arn },
    var.max_dollars == null ? {} : { LAMBDA_LLM_DOCUMENTS_MAX_DOLLARS = tostring(var.max_dollars) },
  )
}

# -- The model ----------------------------------------------------------------------------------------

module "models" {
  source = "../../modules/model-store"

  models = { encoder = { file = var.model_file } }

  # So that `terraform destroy` removes the model too. The default, false, protects a bucket that has any.
  force_destroy = true
}

module "inference" {
  source = "../../modules/inference"

  name                 = "${var.name}-encoder"
  model                = module.models.models["encoder"]
  package              = var.package
  reserved_concurrency = var.reserved_concurrency
  environment          = { LAMBDA_LLM_MODEL_NAME = var.name }

  # The batch's workers invoke the alias themselves, so there is no URL.
  front_door = "buffered"
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}

# -- Batches ------------------------------------------------------------------------------------------

module "batch" {
  source = "../../modules/batch"

  name    = "${var.name}-batch"
  package = var.batch_package

  models = {
    (var.name) = {
      operations = ["/v1/embeddings"]
      lambda = {
        encoder = {
          function    = module.inference.alias_arn
          model       = var.name
          prefill     = var.tokens_per_second
          decode      = 1 # an embedding has no answer to decode
          concurrency = var.concurrency
          url         = var.lambda_endpoint
        }
      }
    }
  }

  # So that `terraform destroy` removes inputs and answers too. The default protects them.
  force_destroy = true
}

# -- The function -------------------------------------------------------------------------------------

module "documents" {
  source = "../../modules/function"

  name             = "${var.name}-documents"
  function         = "documents"
  mark             = "documents"
  package          = var.documents_package
  role_description = "May read ${var.documents}, write ${var.vectors}, and have batches of the tenant ${var.tenant}"
}

data "aws_iam_policy_document" "documents" {
  statement {
    sid       = "ReadDocuments"
    actions   = ["s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::${local.documents.bucket}/${local.documents.prefix}/*"]
  }

  # Also so that a missing object is one, and not forbidden: that request has no s3:prefix, hence "IfExists".
  statement {
    sid       = "ListDocuments"
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::${local.documents.bucket}"]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["${local.documents.prefix}/*"]
    }
  }

  statement {
    sid       = "WriteInput"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    resources = ["${local.store}/${module.batch.prefix}uploads/${local.folder}/documents/*"]
  }

  statement {
    sid       = "CreateBatch"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.store}/${module.batch.prefix}batches/${local.folder}/*"]
  }

  statement {
    sid       = "ReadAnswers"
    actions   = ["s3:GetObject"]
    resources = ["${local.store}/${module.batch.prefix}files/${local.folder}/*"]
  }

  statement {
    sid       = "FollowBatch"
    actions   = ["s3:ListBucket"]
    resources = [local.store]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = [for key in ["batches/${local.folder}/*", "files/${local.folder}/*", "work/*/counts/*"] : "${module.batch.prefix}${key}"]
    }
  }

  statement {
    sid       = "StartBatch"
    actions   = ["states:StartExecution"]
    resources = [module.batch.state_machine_arn]
  }

  statement {
    sid       = "WriteVectors"
    actions   = ["s3:PutObject"]
    resources = ["arn:${local.partition}:s3:::${local.vectors.bucket}/${local.vectors.prefix}/*"]
  }

  dynamic "statement" {
    for_each = var.chunks.tokenizer == null ? [] : [trimprefix(var.chunks.tokenizer, "s3://")]

    content {
      sid       = "ReadTokenizer"
      actions   = ["s3:GetObject"]
      resources = ["arn:${local.partition}:s3:::${statement.value}"]
    }
  }

  dynamic "statement" {
    for_each = var.index_arn == null ? [] : [var.index_arn]

    content {
      sid       = "WriteIndex"
      actions   = ["s3vectors:PutVectors"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "documents" {
  name   = "documents"
  role   = module.documents.role_id
  policy = data.aws_iam_policy_document.documents.json
}

resource "aws_lambda_function" "documents" {
  #checkov:skip=CKV_AWS_50:The state machine's history has each step, and the function logs what it did; a trace would add nothing.
  #checkov:skip=CKV_AWS_115:One execution of the state machine has one invocation at a time.
  #checkov:skip=CKV_AWS_116:The state machine waits for each invocation and repeats one that failed.
  #checkov:skip=CKV_AWS_117:It calls only S3 and Step Functions.
  #checkov:skip=CKV_AWS_173:The environment contains only names, addresses and numbers.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  function_name = "${var.name}-documents"
  description   = "Texts below ${var.documents} to the input of a batch, and its vectors to ${var.vectors}"
  role          = module.documents.role_arn

  filename          = module.documents.filename
  s3_bucket         = module.documents.s3_bucket
  s3_key            = module.documents.s3_key
  s3_object_version = module.documents.s3_object_version
  source_code_hash  = module.documents.source_code_hash

  architectures = module.documents.architectures
  runtime       = module.documents.runtime
  handler       = module.documents.handler
  memory_size   = 2048
  timeout       = 900

  environment {
    variables = merge(local.chunks, local.optional, {
      LAMBDA_LLM_DOCUMENTS_SOURCE  = var.documents
      LAMBDA_LLM_DOCUMENTS_STORE   = module.batch.store
      LAMBDA_LLM_DOCUMENTS_MACHINE = module.batch.state_machine_arn
      LAMBDA_LLM_DOCUMENTS_TENANT  = var.tenant
      LAMBDA_LLM_DOCUMENTS_MODEL   = var.name
      LAMBDA_LLM_DOCUMENTS_TARGET  = var.vectors
      LAMBDA_LLM_DOCUMENTS_WINDOW  = var.window
    })
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.documents.log_level
    log_group             = module.documents.log_group_name
  }

  tags = module.documents.tags

  depends_on = [aws_iam_role_policy.documents]
}

# -- A schedule, if there is one ----------------------------------------------------------------------

data "aws_iam_policy_document" "schedule_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  statement {
    sid       = "Start"
    actions   = ["states:StartExecution"]
    resources = [aws_sfn_state_machine.this.arn]
  }
}

resource "aws_iam_role" "schedule" {
  count = var.schedule == null ? 0 : 1

  name_prefix        = "${substr(var.name, 0, 28)}-schedule-"
  description        = "May start the state machine ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.schedule_assume.json
}

resource "aws_iam_role_policy" "schedule" {
  count = var.schedule == null ? 0 : 1

  name   = "start"
  role   = aws_iam_role.schedule[0].id
  policy = data.aws_iam_policy_document.schedule.json
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:The schedule has no input, so there is nothing to encrypt.
  count = var.schedule == null ? 0 : 1

  name                = var.name
  description         = "Starts the state machine ${var.name}"
  schedule_expression = var.schedule

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 15
  }

  target {
    arn      = aws_sfn_state_machine.this.arn
    role_arn = aws_iam_role.schedule[0].arn
  }

  depends_on = [aws_iam_role_policy.schedule]
}
