# What somebody should know without looking. Shares of errors and whatever is kept by model, backend or target are queries of
# Metrics Insights, which include what comes later; percentiles are no part of them, so that the first token has an alarm for
# each model that is named.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html

locals {
  schemas = {
    inference = "SCHEMA(\"${local.namespace}\", \"function\", model)"
    router    = "SCHEMA(\"${local.namespace}\", backend, \"function\", model)"
    batch     = "SCHEMA(\"${local.namespace}\", \"function\", model)"
    pruner    = "SCHEMA(\"${local.namespace}\", \"function\", target)"
  }

  defaults = {
    query      = null
    metric     = null
    namespace  = local.namespace
    dimensions = {}
    statistic  = null
    percentile = null
    period     = 300
    periods    = 1
    of_periods = 1
    comparison = "GreaterThanOrEqualToThreshold"
  }

  candidates = merge(
    { for key, one in var.inference : "inference-${key}-errors" => {
      of          = "error_percent"
      description = "More than ${var.thresholds.error_percent} % of the requests of ${one.function_name} had an error of ours"
      query       = "SELECT AVG(Errors) FROM ${local.schemas["inference"]} WHERE \"function\" = '${one.function_name}'"
      threshold   = var.thresholds.error_percent / 100
      comparison  = "GreaterThanThreshold"
      periods     = 2
      of_periods  = 3
    } },
    { for key, one in var.routers : "router-${key}-errors" => {
      of          = "error_percent"
      description = "More than ${var.thresholds.error_percent} % of the requests of ${one.function_name} had an error, although it tried other backends"
      query       = "SELECT AVG(Errors) FROM ${local.schemas["router"]} WHERE \"function\" = '${one.function_name}'"
      threshold   = var.thresholds.error_percent / 100
      comparison  = "GreaterThanThreshold"
      periods     = 2
      of_periods  = 3
    } },
    { for key, one in var.agents : "agent-${key}-failures" => {
      of          = "agent_failures"
      description = "${var.thresholds.agent_failures} executions or more of ${one.function_name} failed within an hour"
      metric      = "Errors"
      dimensions  = { function = one.function_name }
      statistic   = "Sum"
      threshold   = var.thresholds.agent_failures
      period      = 3600
    } },
    { for key, one in var.batches : "batch-${key}-errors" => {
      of          = "batch_record_errors"
      description = "${var.thresholds.batch_record_errors} records or more of batches of ${one.worker.function_name} ended with an error within an hour"
      query       = "SELECT SUM(RecordErrors) FROM ${local.schemas["batch"]} WHERE \"function\" = '${one.worker.function_name}'"
      threshold   = var.thresholds.batch_record_errors
      period      = 3600
    } },
    merge([for key, one in var.inference : { for model in one.models : "inference-${key}-first-token-${model}" => {
      of          = "first_token_seconds"
      description = "One of 20 requests to ${model} in ${one.function_name} waits longer than ${var.thresholds.first_token_seconds} s for its first token"
      metric      = "FirstTokenSeconds"
      dimensions  = { function = one.function_name, model = model }
      percentile  = "p95"
      threshold   = var.thresholds.first_token_seconds
      comparison  = "GreaterThanThreshold"
      periods     = 2
      of_periods  = 3
    } }]...),
    { for key, name in local.named : "${key}-throttles" => {
      of          = "throttles"
      description = "Lambda refused ${var.thresholds.throttles} invocations or more of ${name} within 5 minutes: its reserved concurrency or the account's is too small"
      namespace   = "AWS/Lambda"
      metric      = "Throttles"
      dimensions  = { FunctionName = name }
      statistic   = "Sum"
      threshold   = var.thresholds.throttles
    } },
    { for key, one in var.inference : "inference-${key}-concurrency" => {
      of          = "concurrency_percent"
      description = "${one.function_name} is near the ${coalesce(one.concurrency, 0)} environments that it may have"
      namespace   = "AWS/Lambda"
      metric      = "ConcurrentExecutions"
      dimensions  = { FunctionName = one.function_name }
      statistic   = "Maximum"
      threshold   = try(one.concurrency * var.thresholds.concurrency_percent / 100, null)
      periods     = 3
      of_periods  = 3
    } },
    { for key, one in var.routers : "router-${key}-budget" => {
      of          = "budget_percent"
      description = "A tenant of ${one.function_name} has used ${var.thresholds.budget_percent} % of a budget or more; the dashboard has budgets by tenant"
      metric      = "BudgetUsed"
      dimensions  = { function = one.function_name }
      statistic   = "Maximum"
      threshold   = var.thresholds.budget_percent
    } },
    { for key, one in var.pruners : "pruner-${key}-errors" => {
      of          = "pruner_errors"
      description = "${one.function_name} failed: versions that nobody uses stay, and with SnapStart each costs about $39 a month"
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = one.function_name }
      statistic   = "Sum"
      threshold   = var.thresholds.pruner_errors
    } },
    { for key, one in var.pruners : "pruner-${key}-unused-versions" => {
      of          = "unused_versions"
      description = "After a run of ${one.function_name} there are ${var.thresholds.unused_versions} versions or more that no alias names"
      query       = "SELECT MAX(UnusedVersions) FROM ${local.schemas["pruner"]} WHERE \"function\" = '${one.function_name}'"
      threshold   = var.thresholds.unused_versions
      period      = 3600
    } },
  )

  # Without a concurrency, there is no limit to be near to.
  alarms = { for name, one in local.candidates : name => merge(local.defaults, one) if one.threshold != null && !contains(var.no_alarms, one.of) }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name                            = "${var.name}-${each.key}"
  alarm_description                     = each.value.description
  comparison_operator                   = each.value.comparison
  threshold                             = each.value.threshold
  evaluation_periods                    = each.value.of_periods
  datapoints_to_alarm                   = each.value.periods
  treat_missing_data                    = "notBreaching"
  evaluate_low_sample_count_percentiles = each.value.percentile == null ? null : "ignore"

  namespace          = each.value.query == null ? each.value.namespace : null
  metric_name        = each.value.metric
  dimensions         = each.value.query == null ? each.value.dimensions : null
  statistic          = each.value.statistic
  extended_statistic = each.value.percentile
  period             = each.value.query == null ? each.value.period : null

  dynamic "metric_query" {
    for_each = compact([each.value.query])

    content {
      id          = "watched"
      expression  = metric_query.value
      period      = each.value.period
      return_data = true
    }
  }

  alarm_actions = var.alarm_actions
  ok_actions    = var.ok_actions
  tags          = local.tags
}
