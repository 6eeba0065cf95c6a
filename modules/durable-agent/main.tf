# An agent on a durable function: while the model thinks, a human decides or days pass, nothing runs and nothing is billed.
# Its role may write its own history, invoke one alias of inference, and keep state below one prefix; every further
# permission follows from an input.

data "aws_partition" "current" {}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "lambda" {
  service_id = "lambda"
}

locals {
  alias  = "live"
  region = data.aws_service.lambda.region
  s3     = "arn:${data.aws_partition.current.partition}:s3:::"

  # The role comes before the function, which is in the region and the account of inference.
  function_arn = replace(var.inference.alias_arn, "/:function:.*/", ":function:${var.name}")

  agent = var.agent != null ? var.agent : (module.function.agent == null ? "" : "${module.function.agent}:agent")

  # Each of these must be in the function's region. An ARN is no secret, even if it comes from a parameter that is one.
  elsewhere = nonsensitive([for arn in concat([var.inference.alias_arn], var.layers, compact([var.log_kms_key_arn])) : arn if split(":", arn)[3] != local.region || split(":", arn)[1] != data.aws_partition.current.partition])

  # https://docs.aws.amazon.com/lambda/latest/dg/durable-monitoring.html
  alarms = {
    failed = {
      metric      = "DurableExecutionFailed"
      description = "Executions of ${var.name} failed"
    }
    timed-out = {
      metric      = "DurableExecutionTimedOut"
      description = "Executions of ${var.name} took longer than ${var.execution_timeout} seconds"
    }
    throttled = {
      metric      = "Throttles"
      description = "Invocations of ${var.name} were throttled, so that executions stand still"
    }
  }
}

data "aws_iam_policy_document" "agent" {
  # Executions are of versions.
  statement {
    sid       = "KeepHistory"
    actions   = ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"]
    resources = [local.function_arn, "${local.function_arn}:*"]
  }

  statement {
    sid       = "AskModel"
    actions   = ["lambda:InvokeFunction"]
    resources = [var.inference.alias_arn]
  }

  statement {
    sid       = "KeepState"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${local.s3}${var.state.bucket}/${var.state.prefix}*"]
  }

  # Without s3:ListBucket, S3 answers a GET of a missing object with 403 instead of 404. That request has no s3:prefix:
  # hence "IfExists".
  statement {
    sid       = "LookForState"
    actions   = ["s3:ListBucket"]
    resources = ["${local.s3}${var.state.bucket}"]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["${var.state.prefix}*"]
    }
  }

  dynamic "statement" {
    for_each = var.state.kms_key_arn == null ? [] : [var.state.kms_key_arn]

    content {
      sid       = "EncryptState"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = length(var.gateways) == 0 ? [] : [var.gateways]

    content {
      sid       = "UseTools"
      actions   = ["bedrock-agentcore:InvokeGateway"]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.code_interpreters) == 0 ? [] : [var.code_interpreters]

    content {
      sid = "RunCode"
      actions = [
        "bedrock-agentcore:GetCodeInterpreterSession",
        "bedrock-agentcore:InvokeCodeInterpreter",
        "bedrock-agentcore:StartCodeInterpreterSession",
        "bedrock-agentcore:StopCodeInterpreterSession",
      ]
      resources = statement.value
    }
  }

  dynamic "statement" {
    for_each = length(var.secrets) == 0 ? [] : [var.secrets]

    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
}

module "function" {
  source = "../function"

  name                 = var.name
  function             = "agent"
  mark                 = "durable-agent"
  package              = var.package
  role_description     = "What the agent ${var.name} may do"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  log_kms_key_arn      = var.log_kms_key_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "agent" {
  name   = "agent"
  role   = module.function.role_id
  policy = data.aws_iam_policy_document.agent.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:The execution's own history says what each step did and how long it took.
  #checkov:skip=CKV_AWS_115:The deployer chooses the limit: var.reserved_concurrency.
  #checkov:skip=CKV_AWS_116:Lambda invokes it again itself; an execution that fails raises an alarm and keeps its history.
  #checkov:skip=CKV_AWS_117:It calls AWS and the tool servers that its agent names, through Lambda's own network.
  #checkov:skip=CKV_AWS_173:The environment has the names of an agent, an alias and a bucket; secrets are read by their ARNs.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  function_name = var.name
  description   = var.description != null ? var.description : substr("The agent ${local.agent}", 0, 256)
  role          = module.function.role_arn

  # An execution goes on with the version that it began with.
  publish = true

  durable_config {
    execution_timeout = var.execution_timeout
    retention_period  = var.retention_period
  }

  filename          = module.function.filename
  s3_bucket         = module.function.s3_bucket
  s3_key            = module.function.s3_key
  s3_object_version = module.function.s3_object_version
  source_code_hash  = module.function.source_code_hash

  architectures = module.function.architectures
  runtime       = module.function.runtime
  handler       = module.function.handler
  layers        = var.layers
  memory_size   = var.memory_size
  timeout       = var.timeout

  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)

  environment {
    variables = merge(var.environment, {
      LAMBDA_LLM_AGENT           = local.agent
      LAMBDA_LLM_AGENT_INFERENCE = var.inference.alias_arn
      LAMBDA_LLM_STATE           = "s3://${var.state.bucket}/${var.state.prefix}"
    })
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.function.log_level
    log_group             = module.function.log_group_name
  }

  tags = module.function.tags

  depends_on = [aws_iam_role_policy.agent]

  lifecycle {
    precondition {
      condition     = local.agent != ""
      error_message = "The package has no agent: build it with `lambda-llm package --agent FILE.py`, or set agent to MODULE:NAME of one in a layer."
    }

    precondition {
      condition     = module.function.agent == null || var.agent == null || split(":", coalesce(var.agent, ":"))[0] == module.function.agent || length(var.layers) > 0
      error_message = "agent names another module than ${coalesce(module.function.agent, "none")}.py, which is in the package, and no layer could have it: correct agent, or build the package with that file."
    }

    precondition {
      condition     = length(local.elsewhere) == 0
      error_message = "${join(", ", local.elsewhere)} must be in ${local.region} of the partition ${data.aws_partition.current.partition}, as the agent is: it can't be invoked, or used, from there."
    }
  }
}

resource "aws_lambda_alias" "live" {
  name             = local.alias
  description      = "New executions begin here; an execution goes on with the version that it began with"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  statistic           = "Sum"
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.topic_arn == null ? [] : [var.topic_arn]
  tags                = local.tags
}
