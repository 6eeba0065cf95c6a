# What the functions may do, and what others need who create batches, read them, put inputs into the inbox or answer parts.
# Rights on the store are by prefix; every further right follows from a backend.

locals {
  # An upload into the inbox is its batch's input where it is.
  inbox        = var.inbox == null ? [] : ["inbox/*"]
  common_reads = concat(["configuration.json", "files/*", "uploads/*", "batches/*", "work/*"], local.inbox)
  front_lists  = ["files/*", "batches/*", "work/*/counts/*"]

  rights = {
    index  = { get = local.common_reads, put = ["files/*", "batches/*", "work/*"], delete = [], list = concat(["work/*"], local.inbox) }
    worker = { get = local.common_reads, put = ["work/*"], delete = [], list = ["work/*"] }

    # Whoever has the Files and Batches API: a cancelled batch is a stop beside its work.
    router = {
      get    = ["configuration.json", "files/*", "uploads/*", "batches/*"]
      put    = ["files/*", "batches/*", "work/*/stop"]
      delete = ["files/*"]
      list   = local.front_lists
    }
    submit = {
      get    = ["configuration.json", "files/*", "uploads/*", "batches/*"]
      put    = ["files/*", "uploads/*", "batches/*", "work/*/stop"]
      delete = ["files/*"]
      list   = concat(["uploads/*"], local.front_lists)
    }
    inbox = { get = [], put = ["inbox/*"], delete = [], list = [] }
  }

  keys = distinct(compact([local.kms_key_arn, var.kms_key_arn]))

  machine_arn = "arn:${local.partition}:states:${local.region}:${local.account}:stateMachine:${var.name}"
}

data "aws_iam_policy_document" "store" {
  for_each = local.rights

  dynamic "statement" {
    for_each = length(each.value.get) == 0 ? [] : [each.value.get]

    content {
      sid       = "ReadStore"
      actions   = ["s3:GetObject"]
      resources = [for key in statement.value : "${local.bucket_arn}/${var.store.prefix}${key}"]
    }
  }

  statement {
    sid       = "WriteStore"
    actions   = ["s3:AbortMultipartUpload", "s3:PutObject"]
    resources = [for key in each.value.put : "${local.bucket_arn}/${var.store.prefix}${key}"]
  }

  dynamic "statement" {
    for_each = length(each.value.delete) == 0 ? [] : [each.value.delete]

    content {
      sid       = "ClearStore"
      actions   = ["s3:DeleteObject"]
      resources = [for key in statement.value : "${local.bucket_arn}/${var.store.prefix}${key}"]
    }
  }

  # Without s3:ListBucket, S3 answers a GET of a missing object with 403 instead of 404. That request has no s3:prefix:
  # hence "IfExists".
  dynamic "statement" {
    for_each = length(each.value.list) == 0 ? [] : [each.value.list]

    content {
      sid       = "LookAtStore"
      actions   = ["s3:ListBucket"]
      resources = [local.bucket_arn]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = [for key in statement.value : "${var.store.prefix}${key}"]
      }
    }
  }

  dynamic "statement" {
    for_each = local.kms_key_arn == null ? [] : [local.kms_key_arn]

    content {
      sid       = "Encrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = contains(["router", "submit"], each.key) || each.key == "index" && var.inbox != null ? [local.machine_arn] : []

    content {
      sid       = "StartBatches"
      actions   = ["states:StartExecution"]
      resources = [statement.value]
    }
  }

  # A batch is resumed only if it does not run.
  dynamic "statement" {
    for_each = contains(["router", "submit"], each.key) ? [replace(local.machine_arn, ":stateMachine:", ":execution:")] : []

    content {
      sid       = "FollowBatches"
      actions   = ["states:DescribeExecution"]
      resources = ["${statement.value}:*"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  #checkov:skip=CKV_AWS_111:The actions for traces take no resource.
  #checkov:skip=CKV_AWS_356:The actions for traces take no resource.
  dynamic "statement" {
    for_each = var.kms_key_arn == null || var.kms_key_arn == local.kms_key_arn ? [] : [var.kms_key_arn]

    content {
      sid       = "ReadEnvironment"
      actions   = ["kms:Decrypt"]
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
}

data "aws_iam_policy_document" "index" {
  source_policy_documents = [data.aws_iam_policy_document.store["index"].json, data.aws_iam_policy_document.function.json]
}

data "aws_iam_policy_document" "worker" {
  source_policy_documents = [data.aws_iam_policy_document.store["worker"].json, data.aws_iam_policy_document.function.json]

  dynamic "statement" {
    for_each = length(local.lambda_backends) == 0 ? [] : [local.lambda_backends[*].function]

    content {
      sid       = "AskFunctions"
      actions   = ["lambda:InvokeFunction"]
      resources = distinct(statement.value)
    }
  }

  # https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-permissions.html
  dynamic "statement" {
    for_each = length(local.bedrock_backends) == 0 ? [] : [concat(local.bedrock_models, local.bedrock_jobs)]

    content {
      sid       = "StartBedrockJobs"
      actions   = ["bedrock:CreateModelInvocationJob"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.bedrock_backends) == 0 ? [] : [local.bedrock_jobs]

    content {
      sid       = "FollowBedrockJobs"
      actions   = ["bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.bedrock_backends) == 0 ? [] : [local.bedrock_roles]

    content {
      sid       = "LendRoles"
      actions   = ["iam:PassRole"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "iam:PassedToService"
        values   = ["bedrock.amazonaws.com"]
      }
    }
  }
}
