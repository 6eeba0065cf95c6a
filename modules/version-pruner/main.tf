# Deletes published versions that no alias uses. What it may delete is bounded three times: by its role (versions of one
# function, never the function), by its code (no version of an alias, never the newest), and by Lambda itself, which
# deletes no version that an alias names.

locals {
  name = var.name != null ? var.name : "${substr(element(split(":", var.function_arn), 6), 0, 57)}-pruner"

  manifest_path = var.package.manifest != null ? var.package.manifest : (
    var.package.path != null ? "${trimsuffix(var.package.path, ".zip")}.manifest.json" : null
  )
  manifest = try(jsondecode(file(local.manifest_path)), null)
}

data "aws_iam_policy_document" "assume" {
  for_each = toset(["lambda.amazonaws.com", "scheduler.amazonaws.com"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [each.value]
    }

    # The scheduler of another account could otherwise be made to use the role.
    dynamic "condition" {
      for_each = each.value == "scheduler.amazonaws.com" ? ["aws:SourceAccount"] : []

      content {
        test     = "StringEquals"
        variable = condition.value
        values   = [element(split(":", var.function_arn), 4)]
      }
    }
  }
}

data "aws_iam_policy_document" "pruner" {
  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "LookAtVersions"
    actions   = ["lambda:ListVersionsByFunction", "lambda:ListAliases"]
    resources = [var.function_arn]
  }

  # With a qualifier behind it the ARN names versions only, so the function itself can't be deleted.
  statement {
    sid       = "DeleteVersions"
    actions   = ["lambda:DeleteFunction"]
    resources = ["${var.function_arn}:*"]
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group, and this one holds version numbers.
  name              = "/aws/lambda/${local.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "pruner" {
  name_prefix        = "${substr(local.name, 0, 37)}-"
  description        = "May list and delete versions of ${var.function_arn}"
  assume_role_policy = data.aws_iam_policy_document.assume["lambda.amazonaws.com"].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "pruner" {
  name   = "pruner"
  role   = aws_iam_role.pruner.id
  policy = data.aws_iam_policy_document.pruner.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:A run makes a handful of calls and logs what it did; there is nothing to trace.
  #checkov:skip=CKV_AWS_115:The schedule starts one run; several at once would do no harm.
  #checkov:skip=CKV_AWS_116:What one run could not do the next one does.
  #checkov:skip=CKV_AWS_117:It talks to Lambda's API alone.
  #checkov:skip=CKV_AWS_173:The environment holds the name of a function and a number.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing it needs a profile of the account's.
  function_name = local.name
  description   = "Deletes versions of ${element(split(":", var.function_arn), 6)} that no alias uses"
  role          = aws_iam_role.pruner.arn

  filename          = var.package.path
  s3_bucket         = try(var.package.s3.bucket, null)
  s3_key            = try(var.package.s3.key, null)
  s3_object_version = try(var.package.s3.version_id, null)
  source_code_hash  = try(local.manifest.code_sha256, null)

  architectures = try([local.manifest.architecture], null)
  runtime       = try(local.manifest.runtime, null)
  handler       = "lambda_llm.lifecycle.prune.handle"
  memory_size   = 256
  timeout       = 300

  environment {
    variables = {
      LAMBDA_LLM_PRUNE_FUNCTION    = var.function_arn
      LAMBDA_LLM_PRUNE_KEEP_NEWEST = tostring(var.keep_newest)
    }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  tags = merge(var.tags, { "lambda-llm" = "version-pruner" })

  depends_on = [aws_iam_role_policy.pruner]

  lifecycle {
    precondition {
      condition     = local.manifest != null
      error_message = "The manifest of the package can't be read. It lies beside the zip that `make package` builds (ZIP without .zip, plus .manifest.json): keep them together, or name it in package.manifest, which an uploaded package always needs."
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

  name_prefix        = "${substr(local.name, 0, 37)}-"
  description        = "May start the pruner ${local.name}"
  assume_role_policy = data.aws_iam_policy_document.assume["scheduler.amazonaws.com"].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "schedule" {
  count = var.schedule == null ? 0 : 1

  name   = "schedule"
  role   = aws_iam_role.schedule[0].id
  policy = data.aws_iam_policy_document.schedule.json
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:The schedule holds no data: its input is empty.
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
