# Metrics by SEARCH where a dimension has values that only the lines know: models, backends, tools. What is a field, such as the
# tenant, is counted by a query of the log groups, which costs by what it reads, each time that somebody looks.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html

locals {
  # For a SEARCH: the functions of a kind.
  of = { for kind, names in local.functions : kind => "function=(${join(" OR ", [for name in names : "\"${name}\""])})" }

  # For a query in a widget: its log groups.
  from = { for kind, names in merge(local.log_groups, { all = local.all_log_groups }) : kind => join(" | ", [for name in names : "SOURCE '${name}'"]) }

  by_model   = { for kind in ["inference", "agent", "batch"] : kind => "{${local.namespace},function,model} ${local.of[kind]}" }
  by_backend = "{${local.namespace},function,backend,model} ${local.of["router"]}"
  by_tool    = "{${local.namespace},function,tool} ${local.of["agent"]}"

  inference_widgets = [
    {
      title  = "First token of own models, seconds"
      metric = [for stat in ["p50", "p95", "p99"] : { expression = "SEARCH('${local.by_model["inference"]} MetricName=\"FirstTokenSeconds\"', '${stat}')", label = "${stat} $${PROP('Dim.model')}" }]
    },
    {
      title  = "Decoding, tokens a second"
      metric = [for stat in ["p50", "p5"] : { expression = "SEARCH('${local.by_model["inference"]} MetricName=\"DecodeRate\"', '${stat}')", label = "${stat} $${PROP('Dim.model')}" }]
    },
    {
      title  = "Tokens of own models"
      metric = [for name in ["InputTokens", "CachedTokens", "OutputTokens"] : { expression = "SUM(SEARCH('${local.by_model["inference"]} MetricName=\"${name}\"', 'Sum'))", label = name }]
    },
    {
      title = "Prompts from the cache, %"
      metric = [
        { expression = "SUM(SEARCH('${local.by_model["inference"]} MetricName=\"InputTokens\"', 'Sum'))", id = "input", visible = false },
        { expression = "SUM(SEARCH('${local.by_model["inference"]} MetricName=\"CachedTokens\"', 'Sum'))", id = "cached", visible = false },
        { expression = "100 * cached / input", id = "hits", label = "cached tokens" },
      ]
    },
    {
      title  = "Errors of own models"
      metric = [{ expression = "SEARCH('${local.by_model["inference"]} MetricName=\"Errors\"', 'Sum')", label = "$${PROP('Dim.function')} $${PROP('Dim.model')}" }]
    },
    {
      title = "Restores and inits"
      metric = concat(
        [{ expression = "SUM(SEARCH('${local.by_model["inference"]} MetricName=\"Restores\"', 'Sum'))", label = "requests behind a restore" }],
        [for name in local.functions["inference"] : { metric = [local.namespace, "RestoreSeconds", "function", name], stat = "Maximum", label = "${name}: slowest restore, s" }],
        [for name in local.functions["inference"] : { metric = [local.namespace, "InitSeconds", "function", name], stat = "Maximum", label = "${name}: slowest init, s" }],
      )
    },
    {
      title  = "Concurrency against its limit"
      limit  = try(sum([for one in values(var.inference) : one.concurrency]), null)
      metric = [for name in local.functions["inference"] : { metric = ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", name], stat = "Maximum", label = name }]
    },
    {
      # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-concurrency.html#claimed-account-concurrency
      title = "The account's concurrency that is taken, %"
      metric = [
        { metric = ["AWS/Lambda", "ClaimedAccountConcurrency"], id = "claimed", stat = "Maximum", visible = false },
        { metric = ["AWS/Lambda", "ConcurrentExecutions"], id = "used", stat = "Maximum", visible = false },
        { expression = "100 * claimed / SERVICE_QUOTA(used)", id = "share", label = "all functions" },
      ]
    },
    {
      title = "Requests by version, and when it was last asked"
      view  = "table"
      from  = "inference"
      query = "filter event = \"request\" | stats count(*) as requests, max(@timestamp) as last by function, function_version | sort last desc"
    },
    {
      title = "Restores by CPU"
      view  = "table"
      from  = "inference"
      query = local.queries["restores-by-cpu"].query
    },
  ]

  router_widgets = [
    {
      title  = "First token behind the router, seconds (p95)"
      metric = [{ expression = "SEARCH('${local.by_backend} MetricName=\"FirstTokenSeconds\"', 'p95')", label = "$${PROP('Dim.backend')} $${PROP('Dim.model')}" }]
    },
    {
      title = "Errors and fallbacks of the router"
      metric = [
        { expression = "SUM(SEARCH('${local.by_backend} MetricName=\"Errors\"', 'Sum'))", label = "errors" },
        { expression = "SUM(SEARCH('${local.by_backend} MetricName=\"Fallbacks\"', 'Sum'))", label = "fallbacks" },
      ]
    },
    {
      title  = "Tokens behind the router"
      metric = [for name in ["InputTokens", "CachedTokens", "OutputTokens"] : { expression = "SUM(SEARCH('${local.by_backend} MetricName=\"${name}\"', 'Sum'))", label = name }]
    },
    {
      title  = "The fullest budget, %"
      metric = [for name in local.functions["router"] : { metric = [local.namespace, "BudgetUsed", "function", name], stat = "Maximum", label = name }]
    },
    {
      title = "Budgets by tenant, %"
      view  = "table"
      from  = "router"
      query = "filter event = \"request\" and ispresent(BudgetUsed) | stats max(BudgetUsed) as used, latest(BudgetUsed) as now, sum(Dollars) as dollars by tenant, budget_window | sort used desc | limit 20"
    },
  ]

  agent_widgets = [
    {
      title = "Agents: executions by status"
      view  = "bar"
      from  = "agent"
      query = "filter event = \"execution\" | stats count(*) as executions by status"
    },
    {
      title = "Agents: executions, seconds and steps"
      metric = concat(
        [for name in local.functions["agent"] : { metric = [local.namespace, "ExecutionSeconds", "function", name], stat = "p95", label = "${name}: p95 seconds" }],
        [for name in local.functions["agent"] : { metric = [local.namespace, "Steps", "function", name], stat = "p95", label = "${name}: p95 steps" }],
      )
    },
    {
      title = "Agents: tools and models that failed"
      metric = [
        { expression = "SEARCH('${local.by_tool} MetricName=\"Errors\"', 'Sum')", label = "$${PROP('Dim.tool')}" },
        { expression = "SEARCH('${local.by_model["agent"]} MetricName=\"Errors\"', 'Sum')", label = "$${PROP('Dim.model')}" },
      ]
    },
  ]

  batch_widgets = [
    {
      title = "Batches: records"
      metric = [
        { expression = "SUM(SEARCH('${local.by_model["batch"]} MetricName=\"Records\"', 'Sum'))", label = "ended" },
        { expression = "SUM(SEARCH('${local.by_model["batch"]} MetricName=\"RecordErrors\"', 'Sum'))", label = "with an error" },
      ]
    },
    {
      title = "Batches: how they stand"
      view  = "table"
      from  = "batch"
      query = local.queries["batches"].query
    },
    {
      title = "Batches: executions"
      metric = flatten([for one in values(var.batches) : [
        for name in ["ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"] :
        { metric = ["AWS/States", name, "StateMachineArn", one.state_machine_arn], stat = "Sum", label = name }
      ]])
    },
  ]

  pruner_widgets = [
    {
      title  = "Versions that nobody uses"
      metric = [{ expression = "SEARCH('{${local.namespace},function,target} ${local.of["pruner"]} MetricName=\"UnusedVersions\"', 'Maximum')", label = "$${PROP('Dim.target')}" }]
      period = 86400
    },
  ]

  # The router's dollars contain those of own models as its configuration prices them: they are no parts of one sum.
  dollars = { for label, search in merge(
    length(var.inference) == 0 ? {} : { "own models" = local.by_model["inference"] },
    length(var.routers) == 0 ? {} : { "backends, by the router's prices" = local.by_backend },
    length(var.batches) == 0 ? {} : { "backends of batches" = local.by_model["batch"] },
    length(var.agents) == 0 ? {} : { "agents themselves" = "{${local.namespace},function} ${local.of["agent"]}" },
  ) : label => "SUM(SEARCH('${search} MetricName=\"Dollars\"', 'Sum'))" }

  common_widgets = concat(
    [for one in [
      {
        title  = "US dollars an hour"
        metric = [for label, expression in local.dollars : { expression = expression, label = label }]
        period = 3600
      },
      {
        title  = "US dollars a day"
        metric = [for label, expression in local.dollars : { expression = expression, label = label }]
        period = 86400
      },
    ] : one if length(local.dollars) > 0],
    [for one in [
      {
        title  = "Invocations that Lambda throttled"
        metric = [for name in distinct(values(local.named)) : { metric = ["AWS/Lambda", "Throttles", "FunctionName", name], stat = "Sum", label = name }]
      },
      {
        title  = "Invocations that failed as a whole"
        metric = [for name in distinct(values(local.named)) : { metric = ["AWS/Lambda", "Errors", "FunctionName", name], stat = "Sum", label = name }]
      },
    ] : one if length(local.named) > 0],
    [for one in [
      {
        title = "The dearest tenants"
        view  = "table"
        from  = "all"
        query = local.queries["dearest-tenants"].query
      },
      {
        title = "Kinds of errors"
        view  = "table"
        from  = "all"
        query = local.queries["errors"].query
      },
    ] : one if length(local.all_log_groups) > 0],
  )

  # Of what is there: a widget of a kind without functions, or without log groups, would stay empty.
  chosen = concat(
    [for one in local.inference_widgets : one if length(var.inference) > 0],
    [for one in local.router_widgets : one if length(var.routers) > 0],
    [for one in local.agent_widgets : one if length(var.agents) > 0],
    [for one in local.batch_widgets : one if length(var.batches) > 0],
    [for one in local.pruner_widgets : one if length(var.pruners) > 0],
    local.common_widgets,
  )
  widgets = [for one in local.chosen : one if try(local.from[one.from] != "", true)]

  body = {
    widgets = [for index, one in local.widgets : {
      type   = can(one.query) ? "log" : "metric"
      x      = index % 3 * 8
      y      = floor(index / 3) * 6
      width  = 8
      height = 6

      properties = { for key, value in {
        title  = one.title
        region = local.region
        view   = try(one.view, "timeSeries")
        query  = try("${local.from[one.from]} | ${one.query}", null)
        period = can(one.query) ? null : try(one.period, 300)
        metrics = can(one.query) ? null : [for entry in one.metric : concat(
          try(entry.metric, []),
          [{ for key, value in entry : key => value if key != "metric" && value != null }],
        )]
        annotations = try(one.limit, null) == null ? null : { horizontal = [{ label = "limit", value = one.limit }] }
      } : key => value if value != null }
    }]
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard && length(local.widgets) > 0 ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode(local.body)
}
