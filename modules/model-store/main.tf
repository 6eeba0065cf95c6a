# One private bucket for large data that outlives a request: models, state by reference, KV caches of conversations.

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  prefixes = {
    models   = "models/"
    state    = "state/"
    sessions = "sessions/"
  }

  kms_key_arn = var.create_kms_key ? one(aws_kms_key.this[*].arn) : var.kms_key_arn

  # Resources are named after the models' names; only their attributes may be sensitive.
  uploaded = { for name in nonsensitive(keys(var.models)) : name => merge(var.models[name], {
    key = coalesce(var.models[name].key, try("${local.prefixes.models}${basename(var.models[name].file)}", null))
  }) if nonsensitive(var.models[name].file != null) }
  pushed = { for name in nonsensitive(keys(var.models)) : name => var.models[name] if nonsensitive(var.models[name].file == null) }

  # Only what the inputs leave out is read from S3.
  looked_up = { for name, model in local.pushed : name => model
  if nonsensitive(model.version_id == null || model.size == null || model.sha256 == null) }
}

resource "aws_kms_key" "this" {
  #checkov:skip=CKV2_AWS_64:The default key policy of KMS is intended: it leaves access to this account's IAM policies.
  count = var.create_kms_key ? 1 : 0

  description             = "Models and state of lambda-llm"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = local.tags
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs need a second bucket, which the deployer provides: var.access_log.
  #checkov:skip=CKV_AWS_144:A model can be pushed again anywhere; replication to another region would double the cost.
  #checkov:skip=CKV_AWS_145:S3 encrypts with its own keys by default; var.kms_key_arn or var.create_kms_key selects KMS.
  #checkov:skip=CKV2_AWS_62:Nothing consumes event notifications.
  bucket        = var.name
  bucket_prefix = var.name == null ? var.name_prefix : null
  force_destroy = var.force_destroy
  tags          = local.tags

  # A bucket with objects can't be deleted, and its key must not be while it exists: so the key goes last.
  depends_on = [aws_kms_key.this]

  lifecycle {
    precondition {
      condition     = var.kms_key_arn == null || try(split(":", var.kms_key_arn)[3] == data.aws_service.s3.region, false)
      error_message = "kms_key_arn must be a key in ${data.aws_service.s3.region}, the bucket's region: S3 uses no key of another region."
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# Models are pinned by object version.
resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = local.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = local.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = local.kms_key_arn
    }
  }
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]

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
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.tls_only.json

  # S3 rejects concurrent changes of a bucket's policy and its public access block.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_log == null ? 0 : 1

  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_log.bucket
  target_prefix = var.access_log.prefix
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "replaced-models"
    status = "Enabled"

    filter {
      prefix = local.prefixes.models
    }

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_model_days
    }
  }

  dynamic "rule" {
    for_each = {
      (local.prefixes.state)    = var.state_days
      (local.prefixes.sessions) = var.session_days
    }

    content {
      id     = trimsuffix(rule.key, "/")
      status = "Enabled"

      filter {
        prefix = rule.key
      }

      expiration {
        days = rule.value
      }

      noncurrent_version_expiration {
        noncurrent_days = 1
      }
    }
  }

  # S3 rejects rules for noncurrent versions on an unversioned bucket.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_object" "model" {
  for_each = local.uploaded

  bucket             = aws_s3_bucket.this.id
  key                = each.value.key
  source             = each.value.file
  source_hash        = filesha256(each.value.file)
  checksum_algorithm = "CRC64NVME"

  # The same metadata as `lambda-llm push` writes.
  metadata = { sha256 = filesha256(each.value.file) }

  # The pinned version must be created with versioning and the encryption in effect.
  depends_on = [
    aws_s3_bucket_versioning.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_ownership_controls.this,
  ]
}

# Size and checksum of the uploaded object: Terraform has no function for a file's size.
data "aws_s3_object" "uploaded" {
  for_each = local.uploaded

  bucket        = aws_s3_object.model[each.key].bucket
  key           = aws_s3_object.model[each.key].key
  version_id    = aws_s3_object.model[each.key].version_id
  checksum_mode = "ENABLED"
}

data "aws_s3_object" "pushed" {
  for_each = local.looked_up

  bucket        = aws_s3_bucket.this.id
  key           = each.value.key
  version_id    = each.value.version_id
  checksum_mode = "ENABLED"

  lifecycle {
    postcondition {
      condition     = each.value.sha256 != null || can(regex("^[0-9a-f]{64}$", self.metadata["sha256"]))
      error_message = "s3://${nonsensitive(self.bucket)}/${nonsensitive(self.key)} has no SHA-256 in its metadata: push it with `lambda-llm push`, which writes it, or set sha256."
    }
  }
}
