# What each of the project's functions needs beside itself: a zip that is really its own, a role, a log that the role may
# write. The function itself stays with the module that calls this one, where people and scanners read its arguments.

locals {
  manifest_path = var.package.manifest != null ? var.package.manifest : (
    var.package.path != null ? "${trimsuffix(var.package.path, ".zip")}.manifest.json" : null
  )
  manifest = try(jsondecode(file(local.manifest_path)), null)
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
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; a key of one's own is var.log_kms_key_arn.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  # The name ends in something unique, so that the same function can exist in two regions.
  name_prefix          = "${substr(var.name, 0, 37)}-"
  path                 = var.path
  description          = var.role_description
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  # The package is judged here because no function can be planned without its role.
  lifecycle {
    precondition {
      condition     = local.manifest != null
      error_message = "The manifest of the package can't be read. It lies beside the zip that `make package` builds (ZIP without .zip, plus .manifest.json): keep them together, or name it in package.manifest, which an uploaded package always needs."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.function == var.function, false)
      error_message = "The package is not the one of the function \"${var.function}\": its manifest names ${try("the function \"${local.manifest.function}\"", "no function, as those of older versions")}. Deploy lambda-llm-${var.function}-arm64.zip, which `make package` builds."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.architecture == "arm64", false)
      error_message = "The package was not built for arm64, the architecture of this function (its manifest says ${try(local.manifest.architecture, "nothing")}). Build it with `make package`."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.runtime == "python3.13", false)
      error_message = "The package was not built for python3.13, the runtime of this function (its manifest says ${try(local.manifest.runtime, "nothing")}). Build it with this version of lambda-llm."
    }

    precondition {
      condition     = local.manifest == null || !try(fileexists(var.package.path), false) || try(filebase64sha256(var.package.path) == local.manifest.code_sha256, false)
      error_message = "The zip is not the one that its manifest describes (another SHA-256). Build the package again, and deploy zip and manifest of the same build."
    }

    precondition {
      condition     = local.manifest == null || var.package.path == null || try(local.manifest.zip_bytes <= 50 * 1024 * 1024, false)
      error_message = "Lambda takes no zip above 50 MB directly. Upload it to S3 and name it in package.s3."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.unzipped_bytes <= 250 * 1024 * 1024, false)
      error_message = "The package has ${format("%.0f", try(local.manifest.unzipped_bytes, 0) / 1024 / 1024)} MB unzipped, Lambda takes 250 MB. Build it with `make package`, which leaves out what nothing uses."
    }
  }
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.logs.json
}
