# Saved queries of CloudWatch Logs Insights, in a folder with the module's name. The dashboard's tables are some of them.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html

locals {
  queries = {
    slowest = {
      from  = ["inference", "router"]
      query = <<-EOT
        filter event = "request" and ispresent(FirstTokenSeconds)
        | fields @timestamp, function, model, backend, tenant, FirstTokenSeconds, queue_seconds, restored, seconds_since_restore, InputTokens, CachedTokens, request_id
        | sort FirstTokenSeconds desc
        | limit 50
      EOT
    }
    dearest-tenants = {
      from  = ["inference", "router", "batch", "agent"]
      query = <<-EOT
        filter ispresent(Dollars)
        | stats sum(Dollars) as dollars, count(*) as requests by tenant, service, plane
        | sort dollars desc
        | limit 50
      EOT
    }
    spend-by-day = {
      from  = ["inference", "router", "batch", "agent"]
      query = <<-EOT
        filter ispresent(Dollars)
        | stats sum(Dollars) as dollars by bin(1d), plane, service
      EOT
    }
    restores-by-cpu = {
      from  = ["inference"]
      query = <<-EOT
        filter event = "restore"
        | stats count(*) as restores, avg(RestoreSeconds) as mean, pct(RestoreSeconds, 95) as p95, max(RestoreSeconds) as slowest by cpu, function_version
        | sort restores desc
      EOT
    }
    inits = {
      from  = ["inference", "router", "agent"]
      query = <<-EOT
        filter event = "init"
        | stats count(*) as inits, avg(InitSeconds) as mean, max(InitSeconds) as slowest, avg(download_seconds) as download by function, function_version
        | sort slowest desc
      EOT
    }
    errors = {
      from  = ["inference", "router", "agent", "batch"]
      query = <<-EOT
        filter Errors = 1 or RecordErrors > 0
        | stats count(*) as errors, latest(request_id) as latest_request by service, function, error, status
        | sort errors desc
        | limit 50
      EOT
    }
    fallbacks = {
      from  = ["router"]
      query = <<-EOT
        filter event = "request" and Fallbacks > 0
        | fields @timestamp, model, backend, attempts, Fallbacks, seconds, tenant, request_id
        | sort @timestamp desc
        | limit 50
      EOT
    }
    tools = {
      from  = ["agent"]
      query = <<-EOT
        filter event = "tool_call"
        | stats count(*) as calls, sum(Errors) as failed, avg(seconds) as mean, pct(seconds, 95) as p95 by tool
        | sort calls desc
      EOT
    }
    agent-tokens = {
      from  = ["agent"]
      query = <<-EOT
        filter event = "model_call"
        | stats count(*) as calls, sum(InputTokens) as input, sum(OutputTokens) as output by tenant, model
        | sort input desc
      EOT
    }
    batches = {
      from  = ["batch"]
      query = <<-EOT
        filter event = "batch"
        | stats latest(status) as stands, latest(completed) as with_answer, latest(failed) as with_error, latest(records) as of_records by batch, tenant
        | limit 50
      EOT
    }
    batch-tokens = {
      from  = ["batch"]
      query = <<-EOT
        filter event = "part"
        | stats sum(Records) as ended, sum(InputTokens) as input, sum(OutputTokens) as output, sum(Dollars) as dollars by batch, tenant, model
        | sort dollars desc
      EOT
    }
  }
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = { for name, one in local.queries : name => one if var.queries && length(flatten([for kind in one.from : local.log_groups[kind]])) > 0 }

  name            = "${var.name}/${each.key}"
  log_group_names = distinct(flatten([for kind in each.value.from : local.log_groups[kind]]))
  query_string    = trimspace(each.value.query)
}
