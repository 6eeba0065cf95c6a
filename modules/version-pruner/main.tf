# Deletes published versions that no alias uses. Three things limit what it can delete: its role (versions of one
# function, never the function), its code (no version of an alias, never the newest), and Lambda itself, which
# refuses to delete a version that an alias refers to.

locals {
  name = var.name != null ? var.name : "${substr(element(split(":", var.function_arn), 6), 0, 57)}-pruner"
}

data "aws_iam_policy_document" "pruner" {
  statement {
    sid       = "LookAtVersions"
    actions   = ["lambda:ListVersionsByFunction", "lambda:ListAliases"]
    resources = [var.function_arn]
  }

  # An ARN with a qualifier matches versions only, so the role can't delete the function itself.
  statement {
    sid       = "DeleteVersions"
    actions   = ["lambda:DeleteFunction"]
    resources = ["${var.function_arn}:*"]
  }
}

module "function" {
  source = "../function"

  name                 = local.name
  function             = "pruner"
  mark                 = "version-pruner"
  package              = var.package
  role_description     = "May list and delete versions of ${var.function_arn}"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  tags                 = local.tags
}

resource "aws_iam_role_policy" "pruner" {
  name   = "pruner"
  role   = module.function.role_id
  policy = data.aws_iam_policy_document.pruner.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:A run makes a few calls and logs what it did; a trace would add nothing.
  #checkov:skip=CKV_AWS_115:The schedule starts one run; concurrent runs are harmless.
  #checkov:skip=CKV_AWS_116:The next run does what a failed one left.
  #checkov:skip=CKV_AWS_117:It calls only Lambda's API.
  #checkov:skip=CKV_AWS_173:The environment contains only the ARN of a function and a number.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  function_name = local.name
  description   = "Deletes versions of ${element(split(":", var.function_arn), 6)} that no alias uses"
  role          = module.function.role_arn

  filename          = module.function.filename
  s3_bucket         = module.function.s3_bucket
  s3_key            = module.function.s3_key
  s3_object_version = module.function.s3_object_version
  source_code_hash  = module.function.source_code_hash

  architectures = module.function.architectures
  runtime       = module.function.runtime
  handler       = module.function.handler
  memory_size   = 256
  timeout       = 300

  environment {
    variables = {
      LAMBDA_LLM_PRUNE_FUNCTION    = var.function_arn
      LAMBDA_LLM_PRUNE_KEEP_NEWEST = tostring(var.keep_newest)
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.function.log_level
    log_group             = module.function.log_group_name
  }

  tags = module.function.tags

  depends_on = [aws_iam_role_policy.pruner]
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    # Confused deputy: only schedules of this account may use the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [element(split(":", var.function_arn), 4)]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  statement {
    sid       = "InvokePruner"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this.arn]
  }
}

resource "aws_iam_role" "schedule" {
  count = var.schedule == null ? 0 : 1

  name_prefix          = "${substr(local.name, 0, 37)}-"
  path                 = var.path
  description          = "May start the pruner ${local.name}"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "schedule" {
  count = var.schedule == null ? 0 : 1

  name   = "schedule"
  role   = aws_iam_role.schedule[0].id
  policy = data.aws_iam_policy_document.schedule.json
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:The schedule has no input, so there is nothing to encrypt.
  count = var.schedule == null ? 0 : 1

  name                = local.name
  description         = aws_lambda_function.this.description
  schedule_expression = var.schedule

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 15
  }

  target {
    arn      = aws_lambda_function.this.arn
    role_arn = aws_iam_role.schedule[0].arn
  }
}
