# Takes the newest version out of a canary when its alarm goes off. Three things limit what it can do: its role (the
# aliases of one function), its code (nothing but taking away the share of one version), and who may invoke it (the
# alarms that are named here).

locals {
  name    = var.name != null ? var.name : "${substr(var.function.function_name, 0, 55)}-rollback"
  account = element(split(":", var.function.function_arn), 4)

  # ExecutedVersion tells the versions of an alias apart; it needs the other two beside it.
  # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
  dimensions = {
    FunctionName    = var.function.function_name
    Resource        = "${var.function.function_name}:${var.function.alias_name}"
    ExecutedVersion = var.function.version
  }

  alarms = merge(
    var.errors == null ? {} : { errors = aws_cloudwatch_metric_alarm.errors[0].arn },
    var.duration_ms == null ? {} : { duration = aws_cloudwatch_metric_alarm.duration[0].arn },
    { for key, alarm in var.alarms : "other-${key}" => alarm },
  )
}

# Lambda authorizes both by the function's ARN, whatever the alias.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
data "aws_iam_policy_document" "rollback" {
  statement {
    sid       = "ChangeAlias"
    actions   = ["lambda:GetAlias", "lambda:UpdateAlias"]
    resources = [var.function.function_arn]
  }
}

module "function" {
  source = "../function"

  name                 = local.name
  function             = "canary-rollback"
  mark                 = "canary-rollback"
  package              = var.package
  role_description     = "May change the aliases of ${var.function.function_arn}"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  tags                 = local.tags
}

resource "aws_iam_role_policy" "rollback" {
  name   = "rollback"
  role   = module.function.role_id
  policy = data.aws_iam_policy_document.rollback.json
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:A run makes two calls and logs what it did; a trace would add nothing.
  #checkov:skip=CKV_AWS_115:An alarm invokes it once; concurrent runs are harmless.
  #checkov:skip=CKV_AWS_116:Lambda tries twice more, and the alarm itself tells the deployer's topic.
  #checkov:skip=CKV_AWS_117:It calls only Lambda's API.
  #checkov:skip=CKV_AWS_173:The environment contains only the ARN of a function, an alias and a version.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  function_name = local.name
  description   = "Takes version ${var.function.version} of ${var.function.function_name} out of ${var.function.alias_name} when it alarms"
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
  timeout       = 60

  environment {
    variables = {
      LAMBDA_LLM_CANARY_FUNCTION = var.function.function_arn
      LAMBDA_LLM_CANARY_ALIAS    = var.function.alias_name
      LAMBDA_LLM_CANARY_VERSION  = var.function.version
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.function.log_level
    log_group             = module.function.log_group_name
  }

  tags = module.function.tags

  depends_on = [aws_iam_role_policy.rollback]
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  count = var.errors == null ? 0 : 1

  alarm_name          = "${local.name}-errors"
  alarm_description   = "Invocations of version ${var.function.version} failed; it is taken out of ${var.function.alias_name}"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  statistic           = "Sum"
  dimensions          = local.dimensions
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.errors
  period              = var.period
  evaluation_periods  = var.evaluation_periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = concat([aws_lambda_function.this.arn], var.topic_arn == null ? [] : [var.topic_arn])
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "duration" {
  count = var.duration_ms == null ? 0 : 1

  alarm_name          = "${local.name}-duration"
  alarm_description   = "Invocations of version ${var.function.version} take long; it is taken out of ${var.function.alias_name}"
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  extended_statistic  = "p90"
  dimensions          = local.dimensions
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.duration_ms
  period              = var.period
  evaluation_periods  = var.evaluation_periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = concat([aws_lambda_function.this.arn], var.topic_arn == null ? [] : [var.topic_arn])
  tags                = local.tags
}

resource "aws_lambda_permission" "alarm" {
  for_each = local.alarms

  statement_id   = "alarm-${each.key}"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this.function_name
  principal      = "lambda.alarms.cloudwatch.amazonaws.com"
  source_arn     = each.value
  source_account = local.account
}
