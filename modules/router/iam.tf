# By default a role may read one configuration, keep its tenants' budgets and write its log; every further permission follows
# from an input. The function and the worker differ by what is theirs of the queue, and of batches.

locals {
  network_actions = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
  ]

  secrets    = [for arn in var.secrets : arn if split(":", arn)[2] == "secretsmanager"]
  parameters = [for arn in var.secrets : arn if split(":", arn)[2] == "ssm"]

  # What is kept here, and what others keep and have encrypted with keys of their own.
  writing_keys = distinct(compact([var.kms_key_arn, try(var.budgets.table.kms_key_arn, null)]))
  batch_keys   = setsubtract(compact([try(var.batches.kms_key_arn, null)]), local.writing_keys)
  reading_keys = distinct(compact(concat([try(var.configuration.s3.kms_key_arn, null)], var.secret_kms_key_arns)))
}

data "aws_iam_policy_document" "common" {
  #checkov:skip=CKV_AWS_111:The actions for network interfaces and traces take no resource.
  #checkov:skip=CKV_AWS_356:The actions for metrics, network interfaces and traces take no resource.
  dynamic "statement" {
    for_each = var.configuration.appconfig == null ? [local.configuration_object] : []

    content {
      sid       = "ReadConfiguration"
      actions   = ["s3:GetObject"]
      resources = ["${local.s3}${statement.value.bucket}/${statement.value.key}"]
    }
  }

  dynamic "statement" {
    for_each = var.configuration.appconfig == null ? [] : [var.configuration.appconfig.arn]

    content {
      sid       = "ReadConfiguration"
      actions   = ["appconfig:StartConfigurationSession", "appconfig:GetLatestConfiguration"]
      resources = [statement.value]
    }
  }

  # A transaction has no right of its own, but takes those of its parts.
  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
  statement {
    sid = "KeepBudgets"
    actions = [
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = [local.table_arn]
  }

  dynamic "statement" {
    for_each = length(local.secrets) == 0 ? [] : [local.secrets]

    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.parameters) == 0 ? [] : [local.parameters]

    content {
      sid       = "ReadParameters"
      actions   = ["ssm:GetParameter"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.reading_keys) == 0 ? [] : [local.reading_keys]

    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(local.writing_keys) == 0 ? [] : [local.writing_keys]

    content {
      sid       = "Encrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.bedrock_models) == 0 ? [] : [var.backends.bedrock_models]

    content {
      sid       = "AskBedrock"
      actions   = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.bedrock_guardrails) == 0 ? [] : [var.backends.bedrock_guardrails]

    content {
      sid       = "ApplyGuardrails"
      actions   = ["bedrock:ApplyGuardrail"]
      resources = statement.value
    }
  }

  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_bedrock-mantle.html
  dynamic "statement" {
    for_each = length(var.backends.bedrock_projects) == 0 ? [] : [var.backends.bedrock_projects]

    content {
      sid       = "AskMantle"
      actions   = ["bedrock-mantle:CreateInference"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.sagemaker_endpoints) == 0 ? [] : [var.backends.sagemaker_endpoints]

    content {
      sid       = "AskEndpoints"
      actions   = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream", "sagemaker:InvokeEndpointAsync"]
      resources = statement.value
    }
  }

  # Answers of asynchronous endpoints are deleted once they are read. For s3:ListBucket see below.
  dynamic "statement" {
    for_each = length(var.backends.sagemaker_outputs) == 0 ? [] : [var.backends.sagemaker_outputs]

    content {
      sid       = "TakeAnswers"
      actions   = ["s3:DeleteObject", "s3:GetObject"]
      resources = [for arn in statement.value : "${arn}*"]
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.sagemaker_outputs) == 0 ? [] : [var.backends.sagemaker_outputs]

    content {
      sid       = "LookForAnswers"
      actions   = ["s3:ListBucket"]
      resources = distinct([for arn in statement.value : split("/", arn)[0]])

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = [for arn in statement.value : "${join("/", slice(split("/", arn), 1, length(split("/", arn))))}*"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.sagemaker_inputs) == 0 ? [] : [var.backends.sagemaker_inputs]

    content {
      sid       = "WriteInputs"
      actions   = ["s3:DeleteObject", "s3:PutObject"]
      resources = [for arn in statement.value : "${arn}*"]
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.functions) == 0 ? [] : [var.backends.functions]

    content {
      sid       = "AskFunctions"
      actions   = ["lambda:InvokeFunction"]
      resources = statement.value
    }
  }

  # How busy functions are decides between them and servers by the hour. It takes no resource.
  dynamic "statement" {
    for_each = length(var.backends.functions) + length(var.backends.function_urls) == 0 ? [] : [""]

    content {
      sid       = "ReadMetrics"
      actions   = ["cloudwatch:GetMetricData"]
      resources = ["*"]
    }
  }

  # A caller of a URL needs both.
  dynamic "statement" {
    for_each = length(var.backends.function_urls) == 0 ? [] : [var.backends.function_urls]

    content {
      sid       = "AskURLs"
      actions   = ["lambda:InvokeFunctionUrl"]
      resources = statement.value

      condition {
        test     = "StringEquals"
        variable = "lambda:FunctionUrlAuthType"
        values   = ["AWS_IAM"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.backends.function_urls) == 0 ? [] : [var.backends.function_urls]

    content {
      sid       = "ByURLOnly"
      actions   = ["lambda:InvokeFunction"]
      resources = statement.value

      condition {
        test     = "Bool"
        variable = "lambda:InvokedViaFunctionUrl"
        values   = ["true"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.background == null ? [] : [""]

    content {
      sid       = "KeepResults"
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = ["${aws_s3_bucket.this[0].arn}/${local.prefixes.results}*"]
    }
  }

  # Without s3:ListBucket, S3 answers a GET of a missing object with 403 instead of 404. That request has no s3:prefix:
  # hence "IfExists".
  dynamic "statement" {
    for_each = var.background == null ? [] : [""]

    content {
      sid       = "LookForResults"
      actions   = ["s3:ListBucket"]
      resources = [aws_s3_bucket.this[0].arn]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = ["${local.prefixes.results}*"]
      }
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
        values   = [for suffix in ["", "-worker"] : "arn:${local.partition}:lambda:*:*:function:${var.name}${suffix}"]
      }
    }
  }
}

data "aws_iam_policy_document" "function" {
  source_policy_documents = [data.aws_iam_policy_document.common.json]

  dynamic "statement" {
    for_each = var.background == null ? [] : [aws_sqs_queue.background[0].arn]

    content {
      sid       = "SendRequests"
      actions   = ["sqs:SendMessage"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.batches == null ? [] : [var.batches.state_machine_arn]

    content {
      sid       = "StartBatches"
      actions   = ["states:StartExecution"]
      resources = [statement.value]
    }
  }

  # A file's content is read by whoever gets its address, with the rights of this role.
  dynamic "statement" {
    for_each = var.batches == null ? [] : [local.batches]

    content {
      sid       = "ReadBatches"
      actions   = ["s3:GetObject"]
      resources = [for folder in ["files", "uploads", "batches"] : "${local.s3}${statement.value}${folder}/*"]
    }
  }

  # A batch that is cancelled has an object of that name.
  dynamic "statement" {
    for_each = var.batches == null ? [] : [local.batches]

    content {
      sid       = "WriteBatches"
      actions   = ["s3:PutObject"]
      resources = [for keys in ["files/*", "batches/*", "work/*/stop"] : "${local.s3}${statement.value}${keys}"]
    }
  }

  dynamic "statement" {
    for_each = var.batches == null ? [] : [local.batches]

    content {
      sid       = "DeleteFiles"
      actions   = ["s3:DeleteObject"]
      resources = ["${local.s3}${statement.value}files/*"]
    }
  }

  # As above: what is looked for and missing is to be answered with 404.
  dynamic "statement" {
    for_each = var.batches == null ? [] : [local.batches]

    content {
      sid       = "ListBatches"
      actions   = ["s3:ListBucket"]
      resources = ["${local.s3}${split("/", statement.value)[0]}"]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = [for keys in ["files/*", "batches/*", "work/*/counts/*"] : "${join("/", slice(split("/", statement.value), 1, length(split("/", statement.value))))}${keys}"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(local.batch_keys) == 0 ? [] : [local.batch_keys]

    content {
      sid       = "EncryptBatches"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = statement.value
    }
  }
}

data "aws_iam_policy_document" "worker" {
  count = local.background

  source_policy_documents = [data.aws_iam_policy_document.common.json]

  statement {
    sid       = "TakeRequests"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.background[0].arn]
  }
}
