# What nobody sees who only waits for a batch.

locals {
  machine_dimensions = { StateMachineArn = aws_sfn_state_machine.this.arn }
  alarms = merge(
    {
      # https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
      failed = {
        namespace   = "AWS/States"
        metric      = "ExecutionsFailed"
        dimensions  = local.machine_dimensions
        description = "Batches of ${var.name} failed although their inputs were right: their records say what is missing"
      }
      timed-out = {
        namespace   = "AWS/States"
        metric      = "ExecutionsTimedOut"
        dimensions  = local.machine_dimensions
        description = "Batches of ${var.name} took longer than ${var.days.work} days"
      }
      throttled = {
        namespace   = "AWS/States"
        metric      = "ExecutionThrottled"
        dimensions  = local.machine_dimensions
        description = "Step Functions throttles ${var.name}, so that batches take longer: the account's quota of state transitions is too small"
      }
    },
    {
      for function in keys(local.functions) : "${function}-errors" => {
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = aws_lambda_function.this[function].function_name }
        description = "Invocations of ${var.name}-${function} failed; most are retried"
      }
    },
    {
      for function in keys(local.functions) : "${function}-throttles" => {
        namespace   = "AWS/Lambda"
        metric      = "Throttles"
        dimensions  = { FunctionName = aws_lambda_function.this[function].function_name }
        description = "Invocations of ${var.name}-${function} were throttled, so that batches take longer: the account's concurrency is too small"
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = "Sum"
  dimensions          = each.value.dimensions
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.topic_arn == null ? [] : [var.topic_arn]
  tags                = local.tags
}
