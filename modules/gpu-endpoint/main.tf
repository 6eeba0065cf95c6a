# A model on GPUs that a router can send requests to. What every kind has is here: the log, and a role that reads one model
# and writes this log.

data "aws_partition" "current" {}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  partition = data.aws_partition.current.partition
  region    = data.aws_service.s3.region
  tags      = merge(var.tags, { "lambda-llm" = "gpu-endpoint", "lambda-llm:plane" = "inference", "lambda-llm:component" = "gpu-endpoint" })

  folder     = endswith(var.model.key, "/")
  pinned     = var.kind == "ecs" && !local.folder
  model_arn  = "arn:${local.partition}:s3:::${var.model.bucket}/${var.model.key}"
  model_file = local.folder ? "" : basename(var.model.key)

  # SageMaker, Lambda and ECS each write to groups of these names.
  log_group = {
    sagemaker  = "/aws/sagemaker/InferenceComponents/${var.name}"
    lambda-gpu = "/aws/lambda/${var.name}"
    ecs        = "/aws/ecs/${var.name}"
  }[var.kind]

  service = {
    sagemaker  = "sagemaker.amazonaws.com"
    lambda-gpu = "lambda.amazonaws.com"
    ecs        = "ecs-tasks.amazonaws.com"
  }[var.kind]

  images = var.kind == "ecs" ? [var.image, var.ecs.fetch_image] : [var.image]
  repositories = [for image in local.images : join(":", [
    "arn", local.partition, "ecr", split(".", image)[3], split(".", image)[0],
    "repository/${split(":", split("@", join("/", slice(split("/", image), 1, length(split("/", image)))))[0])[0]}",
  ])]

  # Each of these must be in this region. An ARN is no secret, even if it comes from a parameter that is one.
  elsewhere = nonsensitive(concat(
    [for image in local.images : image if split(".", image)[3] != local.region],
    [for arn in compact([var.kms_key_arn, var.log_kms_key_arn, var.model.kms_key_arn, try(var.ecs.certificate_arn, null)]) : arn if split(":", arn)[3] != local.region],
  ))
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; var.log_kms_key_arn sets a customer managed key.
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags

  lifecycle {
    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "${join(", ", local.elsewhere)} must be in ${local.region}, as the endpoint is: images, keys and certificates can't be used from elsewhere."
    }
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [local.service]
    }
  }
}

data "aws_iam_policy_document" "model" {
  # SageMaker and vLLM's own loader name no version in their requests, so that they get the newest.
  statement {
    sid       = "ReadModel"
    actions   = [local.pinned ? "s3:GetObjectVersion" : "s3:GetObject"]
    resources = [local.folder ? "${local.model_arn}*" : local.model_arn]

    dynamic "condition" {
      for_each = local.pinned ? [var.model.version_id] : []

      content {
        test     = "StringEquals"
        variable = "s3:VersionId"
        values   = [condition.value]
      }
    }
  }

  dynamic "statement" {
    for_each = local.pinned ? [] : [local.folder ? "${var.model.key}*" : var.model.key]

    content {
      sid       = "ListModel"
      actions   = ["s3:ListBucket"]
      resources = ["arn:${local.partition}:s3:::${var.model.bucket}"]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = [statement.value]
      }
    }
  }

  dynamic "statement" {
    for_each = var.model.kms_key_arn == null ? [] : [var.model.kms_key_arn]

    content {
      sid       = "DecryptModel"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
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

data "aws_iam_policy_document" "images" {
  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = local.repositories
  }

  # It takes no resource.
  statement {
    sid       = "LogInToECR"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "this" {
  # A unique suffix, because IAM is global and the same endpoint may exist in two regions.
  name_prefix          = "${var.name}-"
  path                 = var.path
  description          = "What the model ${var.name} may do"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "model" {
  name   = "model"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.model.json
}

# Of ECS it is the agent that pulls and logs, not the container.
resource "aws_iam_role_policy" "logs" {
  count = var.kind == "ecs" ? 0 : 1

  name   = "logs"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.logs.json
}
