# What the functions' lines say, in one place: a dashboard (dashboard.tf), alarms (alarms.tf), saved queries (queries.tf). It
# makes nothing that runs, and reads nothing: CloudWatch takes the metrics out of the log groups that the functions have.
# Names of metrics and fields are those of functions/lambda_llm/telemetry/lines.py.

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "cloudwatch" {
  service_id = "monitoring"
}

locals {
  region    = data.aws_service.cloudwatch.region
  namespace = "LambdaLLM"

  # By kind, as the lines' `service` names them.
  functions = {
    inference = [for one in values(var.inference) : one.function_name]
    router    = [for one in values(var.routers) : one.function_name]
    agent     = [for one in values(var.agents) : one.function_name]
    batch     = [for one in values(var.batches) : one.worker.function_name]
    pruner    = [for one in values(var.pruners) : one.function_name]
  }

  # By a name that is known while a stack is planned, whatever names the functions will have.
  named = merge(
    { for key, one in var.inference : "inference-${key}" => one.function_name },
    { for key, one in var.routers : "router-${key}" => one.function_name },
    { for key, one in var.agents : "agent-${key}" => one.function_name },
    { for key, one in var.batches : "batch-${key}" => one.worker.function_name },
    { for key, one in var.batches : "batch-${key}-index" => one.index.function_name if one.index != null },
    { for key, one in var.pruners : "pruner-${key}" => one.function_name },
  )

  log_groups = {
    inference = compact([for one in values(var.inference) : one.log_group_name])
    router    = compact([for one in values(var.routers) : one.log_group_name])
    agent     = compact([for one in values(var.agents) : one.log_group_name])
    batch     = compact(flatten([for one in values(var.batches) : [one.worker.log_group_name, try(one.index.log_group_name, null)]]))
    pruner    = compact([for one in values(var.pruners) : one.log_group_name])
  }
  all_log_groups = distinct(concat(values(local.log_groups)...))
}
