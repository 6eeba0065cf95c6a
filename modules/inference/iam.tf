# By default the role may only write its own log and read exactly one version of one object; every further permission
# follows from an input.

locals {
  readable_models = distinct(concat(
    [for model in [var.model] : { bucket = model.bucket, key = model.key, version_id = model.version_id, kms_key_arn = model.kms_key_arn }],
    [for model in var.previous_models : { bucket = model.bucket, key = model.key, version_id = model.version_id, kms_key_arn = model.kms_key_arn }],
  ))
  decrypting_keys = distinct(compact([for model in local.readable_models : model.kms_key_arn]))
  # Where a prompt is stored is no secret, its text may be.
  prompt_objects = nonsensitive([for prompt in compact(concat([var.system_prompt], var.system_prompts)) : trimprefix(prompt, "s3://") if startswith(prompt, "s3://")])
  s3             = "arn:${data.aws_partition.current.partition}:s3:::"

  network_actions = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
  ]
}

data "aws_iam_policy_document" "this" {
  dynamic "statement" {
    for_each = { for index, model in local.readable_models : index => model }

    content {
      sid       = "ReadModel${statement.key}"
      actions   = ["s3:GetObjectVersion"]
      resources = ["${local.s3}${statement.value.bucket}/${statement.value.key}"]

      # S3 requires s3:GetObjectVersion only for requests that name a version, and those always have s3:VersionId, so
      # "IfExists" allows nothing more. It also works on a local AWS that does not implement the key.
      condition {
        test     = "StringEqualsIfExists"
        variable = "s3:VersionId"
        values   = [statement.value.version_id]
      }
    }
  }

  dynamic "statement" {
    for_each = length(local.decrypting_keys) > 0 ? [local.decrypting_keys] : []

    content {
      sid       = "DecryptModel"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.prompt_objects) > 0 ? [local.prompt_objects] : []

    content {
      sid       = "ReadSystemPrompts"
      actions   = ["s3:GetObject"]
      resources = [for object in statement.value : "${local.s3}${object}"]
    }
  }

  dynamic "statement" {
    for_each = var.sessions == null ? [] : [var.sessions]

    content {
      sid       = "KeepSessions"
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = ["${local.s3}${statement.value.bucket}/${statement.value.prefix}*"]
    }
  }

  # Without s3:ListBucket, S3 answers a GET of a missing object with 403 instead of 404. That request has no s3:prefix:
  # hence "IfExists".
  dynamic "statement" {
    for_each = var.sessions == null ? [] : [var.sessions]

    content {
      sid       = "LookForSessions"
      actions   = ["s3:ListBucket"]
      resources = ["${local.s3}${statement.value.bucket}"]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = ["${statement.value.prefix}*"]
      }
    }
  }

  dynamic "statement" {
    for_each = try(var.sessions.kms_key_arn, null) == null ? [] : [var.sessions.kms_key_arn]

    content {
      sid       = "EncryptSessions"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.tracing == "Active" ? [""] : []

    content {
      sid       = "WriteTraces"
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      resources = ["*"]
    }
  }

  # Lambda itself attaches the function to its subnets with these; none of them but the first takes a resource.
  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
  dynamic "statement" {
    for_each = var.vpc == null ? [] : [""]

    content {
      sid       = "AttachToSubnets"
      actions   = local.network_actions
      resources = ["*"]
    }
  }

  # Not the function's own code, which is what this condition's key names.
  dynamic "statement" {
    for_each = var.vpc == null ? [] : [""]

    content {
      sid       = "NotByItsCode"
      effect    = "Deny"
      actions   = local.network_actions
      resources = ["*"]

      condition {
        test     = "ArnLike"
        variable = "lambda:SourceFunctionArn"
        values   = ["arn:${data.aws_partition.current.partition}:lambda:*:*:function:${var.name}"]
      }
    }
  }
}

data "aws_iam_policy_document" "needed" {
  source_policy_documents = [data.aws_iam_policy_document.this.json, module.function.log_policy_json]
}

# A new policy for each set of objects, with a name of its own: the one before is deleted after the alias has moved, so
# that the old version can read its model until then, and for good if the new one fails.
resource "aws_iam_role_policy" "this" {
  count = var.role == null ? 1 : 0

  name_prefix = "inference-${substr(sha256(jsonencode([local.readable_models, local.prompt_objects, var.sessions])), 0, 8)}-"
  role        = module.function.role_id
  policy      = data.aws_iam_policy_document.this.json

  lifecycle {
    create_before_destroy = true
  }
}
