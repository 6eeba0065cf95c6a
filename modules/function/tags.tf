# By these, activated as cost-allocation tags, bills tell planes and parts apart: docs/observability.md. The calling module may say
# which part it is.

locals {
  execution = ["sandbox"]
  inference = ["inference", "version-pruner", "canary-rollback"]
  plane     = contains(local.execution, var.mark) ? "execution" : contains(local.inference, var.mark) ? "inference" : "orchestration"
  tags      = merge({ "lambda-llm:plane" = local.plane, "lambda-llm:component" = var.mark }, var.tags)
}
