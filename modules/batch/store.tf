# Files, batches and what is needed while they run: one bucket, made here or existing. Its keys are those of
# functions/lambda_llm/batch_store/layout.py.

locals {
  own_bucket = var.store.existing == null ? 1 : 0

  bucket      = local.own_bucket == 1 ? one(aws_s3_bucket.this[*].id) : var.store.existing.bucket
  bucket_arn  = "arn:${local.partition}:s3:::${local.bucket}"
  store       = "s3://${local.bucket}/${var.store.prefix}"
  kms_key_arn = local.own_bucket == 1 ? var.kms_key_arn : var.store.existing.kms_key_arn

  # As functions/lambda_llm/batch/config.py reads it, where backends of every kind are in one map.
  configuration = jsonencode({
    version = 1
    machine = local.machine_arn

    inbox         = try(var.inbox.tenant, null)
    inbox_dollars = try(var.inbox.max_dollars, null)

    models = {
      for name, model in var.models : name => {
        operations = model.operations
        max_tokens = model.max_tokens
        backends = merge(
          {
            for key, backend in model.lambda : key => {
              kind        = "lambda"
              function    = backend.function
              region      = split(":", backend.function)[3]
              model       = backend.model
              prefill     = backend.prefill
              decode      = backend.decode
              concurrency = backend.concurrency != null ? backend.concurrency : backend.reserved_concurrency - backend.interactive
              parallel    = backend.parallel
              timeout     = backend.timeout
              url         = backend.url
            }
          },
          {
            for key, backend in model.bedrock : key => {
              kind    = "bedrock"
              model   = backend.model
              region  = coalesce(backend.region, local.region)
              role    = backend.role != null ? backend.role.arn : one(aws_iam_role.bedrock[*].arn)
              input   = backend.input
              output  = backend.output
              hours   = backend.hours
              records = backend.records
            }
          },
          { for key, backend in model.gpu : key => merge(backend, { kind = "gpu" }) },
        )
      }
    }
  })
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs need a second bucket, which the deployer provides: var.access_log.
  #checkov:skip=CKV_AWS_21:Files are written once and never changed, and one that a tenant deletes must be gone.
  #checkov:skip=CKV_AWS_144:Files last for days; replication to another region would double the cost.
  #checkov:skip=CKV_AWS_145:S3 encrypts with its own keys by default; var.kms_key_arn selects KMS.
  #checkov:skip=CKV2_AWS_62:Uploads start batches only where var.inbox says so.
  count = local.own_bucket

  bucket        = var.store.name
  bucket_prefix = var.store.name == null ? "${trim(substr(lower(replace(var.name, "_", "-")), 0, 36), "-")}-" : null
  force_destroy = var.force_destroy
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  count = local.own_bucket

  bucket                  = aws_s3_bucket.this[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  count = local.own_bucket

  bucket = aws_s3_bucket.this[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  count = local.own_bucket

  bucket = aws_s3_bucket.this[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

data "aws_iam_policy_document" "tls_only" {
  count = local.own_bucket

  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[0].arn, "${aws_s3_bucket.this[0].arn}/*"]

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

resource "aws_s3_bucket_policy" "this" {
  count = local.own_bucket

  bucket = aws_s3_bucket.this[0].id
  policy = data.aws_iam_policy_document.tls_only[0].json

  # S3 rejects concurrent changes of a bucket's policy and its public access block.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_log == null ? 0 : local.own_bucket

  bucket        = aws_s3_bucket.this[0].id
  target_bucket = var.access_log.bucket
  target_prefix = var.access_log.prefix
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = local.own_bucket

  bucket = aws_s3_bucket.this[0].id

  # Outputs are joined by multipart uploads, which may take a batch's whole time.
  rule {
    id     = "abandoned-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 8
    }
  }

  dynamic "rule" {
    for_each = var.days

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${var.store.prefix}${rule.key}/"
      }

      expiration {
        days = rule.value
      }
    }
  }
}

resource "aws_s3_object" "configuration" {
  #checkov:skip=CKV_AWS_186:The bucket encrypts it, with var.kms_key_arn if that is set.
  bucket       = local.bucket
  key          = "${var.store.prefix}configuration.json"
  content      = local.configuration
  content_type = "application/json"

  # It must be created with the encryption in effect.
  depends_on = [
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_ownership_controls.this,
  ]
}
