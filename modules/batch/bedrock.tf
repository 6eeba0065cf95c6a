# The role with which Bedrock reads the inputs of its jobs and writes their outputs, where no backend brings its own.
# https://docs.aws.amazon.com/bedrock/latest/userguide/batch-iam-sr.html

locals {
  own_bedrock_role = length([for backend in local.bedrock_backends : backend if backend.role == null]) > 0 ? 1 : 0

  bedrock_models = distinct(flatten(local.bedrock_backends[*].arns))
  bedrock_roles  = distinct(compact(concat([for backend in local.bedrock_backends : try(backend.role.arn, null)], aws_iam_role.bedrock[*].arn)))
  bedrock_jobs = distinct([
    for backend in local.bedrock_backends : "arn:${local.partition}:bedrock:${coalesce(backend.region, local.region)}:${local.account}:model-invocation-job/*"
  ])
}

data "aws_iam_policy_document" "bedrock_assume" {
  count = local.own_bedrock_role

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["bedrock.amazonaws.com"]
    }

    # Confused deputy: only batch jobs of this account may use the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = local.bedrock_jobs
    }
  }
}

data "aws_iam_policy_document" "bedrock" {
  count = local.own_bedrock_role

  statement {
    sid       = "UseJobs"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.bucket_arn}/${var.store.prefix}work/*/jobs/*"]
  }

  statement {
    sid       = "LookAtJobs"
    actions   = ["s3:ListBucket"]
    resources = [local.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.store.prefix}work/*/jobs/*"]
    }
  }

  # A job with an inference profile asks the models with this role.
  statement {
    sid       = "AskModels"
    actions   = ["bedrock:InvokeModel"]
    resources = local.bedrock_models
  }

  dynamic "statement" {
    for_each = local.kms_key_arn == null ? [] : [local.kms_key_arn]

    content {
      sid       = "Encrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role" "bedrock" {
  count = local.own_bedrock_role

  name_prefix          = "${substr(var.name, 0, 29)}-bedrock-"
  path                 = var.path
  description          = "What Bedrock's batch jobs of ${var.name} may read and write"
  assume_role_policy   = data.aws_iam_policy_document.bedrock_assume[0].json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "bedrock" {
  count = local.own_bedrock_role

  name   = "jobs"
  role   = aws_iam_role.bedrock[0].id
  policy = data.aws_iam_policy_document.bedrock[0].json
}
