# Where the configuration is: an object that is made here, or one of S3's or AppConfig's that somebody else writes. The router
# reads it again each minute, so that another configuration is no deployment.

locals {
  prefixes = {
    configuration = "configuration/"
    results       = "results/"
  }

  # By what else is given: whether there is a text may be known only when it is made.
  own_configuration = var.configuration.s3 == null && var.configuration.appconfig == null ? 1 : 0

  # One bucket for what is made here.
  own_bucket = local.own_configuration == 1 || var.background != null ? 1 : 0

  # …:application/ID/environment/ID/configuration/ID
  appconfig = try(split("/", split(":", var.configuration.appconfig.arn)[5]), [])

  configuration_object = local.own_configuration == 1 ? {
    bucket = one(aws_s3_object.configuration[*].bucket)
    key    = one(aws_s3_object.configuration[*].key)
  } : var.configuration.s3

  configuration = var.configuration.appconfig != null ? "appconfig://${local.appconfig[1]}/${local.appconfig[3]}/${local.appconfig[5]}" : (
    "s3://${local.configuration_object.bucket}/${local.configuration_object.key}"
  )
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:The router logs every request; what else reaches the bucket, CloudTrail's data events show.
  #checkov:skip=CKV_AWS_144:The configuration is in code, and results last for days.
  #checkov:skip=CKV_AWS_145:S3 encrypts with its own keys by default; var.kms_key_arn selects KMS.
  #checkov:skip=CKV2_AWS_62:Nothing consumes event notifications.
  count = local.own_bucket

  bucket_prefix = "${trim(substr(lower(replace(var.name, "_", "-")), 0, 36), "-")}-"
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

# So that a configuration can be had again.
resource "aws_s3_bucket_versioning" "this" {
  count = local.own_bucket

  bucket = aws_s3_bucket.this[0].id

  versioning_configuration {
    status = "Enabled"
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

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = local.own_bucket

  bucket = aws_s3_bucket.this[0].id

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "replaced-configurations"
    status = "Enabled"

    filter {
      prefix = local.prefixes.configuration
    }

    noncurrent_version_expiration {
      noncurrent_days = 90
    }
  }

  # Answers, and requests that wait for one; without `background` there are none.
  rule {
    id     = "results"
    status = "Enabled"

    filter {
      prefix = local.prefixes.results
    }

    expiration {
      days = try(var.background.result_days, 1)
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # S3 rejects rules for noncurrent versions on an unversioned bucket.
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_object" "configuration" {
  #checkov:skip=CKV_AWS_186:The bucket encrypts it, with var.kms_key_arn if that is set.
  count = local.own_configuration

  bucket        = aws_s3_bucket.this[0].id
  key           = "${local.prefixes.configuration}router.yaml"
  content       = var.configuration.content
  content_type  = "application/yaml"
  force_destroy = true

  # Its first version must be created with versioning and the encryption in effect.
  depends_on = [
    aws_s3_bucket_versioning.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_ownership_controls.this,
  ]
}
