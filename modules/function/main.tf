# What each of the project's functions needs: a zip that was built for it, a log group, and a role that may write to it.
# The function itself is a resource of the calling module, where reviewers and scanners see its arguments.

locals {
  manifest_path = var.package.manifest != null ? var.package.manifest : (
    var.package.path != null ? "${trimsuffix(var.package.path, ".zip")}.manifest.json" : null
  )
  # No secret, even if the path comes from one.
  manifest = nonsensitive(try(jsondecode(file(local.manifest_path)), null))

  # Of a group that the caller made, or of the one made here.
  log_group = var.log_group != null ? var.log_group : {
    name = one(aws_cloudwatch_log_group.this[*].name)
    arn  = one(aws_cloudwatch_log_group.this[*].arn)
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "logs" {
  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${trimsuffix(local.log_group.arn, ":*")}:*"]
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; var.log_kms_key_arn sets a customer managed key.
  count = var.log_group == null ? 1 : 0

  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags
}

resource "aws_iam_role" "this" {
  count = var.role == null ? 1 : 0

  # A unique suffix, because IAM is global and the same function may exist in two regions.
  name_prefix          = "${substr(var.name, 0, 37)}-"
  path                 = var.path
  description          = var.role_description
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "logs" {
  count = var.role == null ? 1 : 0

  name   = "logs"
  role   = aws_iam_role.this[0].id
  policy = data.aws_iam_policy_document.logs.json
}
