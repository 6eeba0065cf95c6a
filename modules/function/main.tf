# What each of the project's functions needs: a zip that was built for it, a log group, and a role that may write to it.
# The function itself is a resource of the calling module, where reviewers and scanners see its arguments.

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
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; var.log_kms_key_arn sets a customer managed key.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  # A unique suffix, because IAM is global and the same function may exist in two regions.
  name_prefix          = "${substr(var.name, 0, 37)}-"
  path                 = var.path
  description          = var.role_description
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  # The package is checked here because every function depends on its role.
  lifecycle {
    precondition {
      condition     = local.manifest != null
      error_message = "The manifest of the package can't be read: keep it next to the zip, where `make package` writes it (NAME.manifest.json for NAME.zip), or set package.manifest to its path, which a package in S3 always needs."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.function == var.function, false)
      error_message = "The package is not the one of the function \"${var.function}\": its manifest names ${try("the function \"${local.manifest.function}\"", "no function, as manifests of older versions")}. Deploy lambda-llm-${var.function}-arm64.zip, which `make package` builds."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.architecture == "arm64", false)
      error_message = "The package was built for ${try(local.manifest.architecture, "an unknown architecture")}, and this function runs on arm64: build it with `make package`."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.runtime == "python3.13", false)
      error_message = "The package was built for ${try(local.manifest.runtime, "an unknown runtime")}, and this function runs on python3.13: build it with `make package` of this version of lambda-llm."
    }

    precondition {
      condition     = local.manifest == null || !try(fileexists(var.package.path), false) || try(filebase64sha256(var.package.path) == local.manifest.code_sha256, false)
      error_message = "The SHA-256 of the zip differs from the one in its manifest: run `make package` again, and deploy the zip and the manifest of the same build."
    }

    precondition {
      condition     = local.manifest == null || var.package.path == null || try(local.manifest.zip_bytes <= 50 * 1024 * 1024, false)
      error_message = "The zip is larger than the 50 MB that Lambda accepts in a direct upload: upload it to S3 and set package.s3."
    }

    precondition {
      condition     = local.manifest == null || try(local.manifest.unzipped_bytes <= 250 * 1024 * 1024, false)
      error_message = "The package has ${format("%.0f", try(local.manifest.unzipped_bytes, 0) / 1024 / 1024)} MB unzipped, and Lambda accepts at most 250 MB: build it with `make package`, which packs only what the function imports."
    }
  }
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.logs.json
}
