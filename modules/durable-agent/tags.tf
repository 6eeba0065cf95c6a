# By these, activated as cost-allocation tags, bills tell planes and parts apart: docs/observability.md.

locals {
  tags = merge(var.tags, { "lambda-llm:plane" = "orchestration", "lambda-llm:component" = "durable-agent" })
}
