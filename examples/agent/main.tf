# A research assistant: an agent in research.py, the model with which it thinks, and one bucket for the model's weights
# and the agent's documents.

module "store" {
  source = "../../modules/model-store"

  models     = { agent = { file = var.model_file } }
  state_days = var.state_days

  # So that `terraform destroy` removes the model and the documents too. The default, false, protects a bucket that has any.
  force_destroy = true
}

module "inference" {
  source = "../../modules/inference"

  name    = "${var.name}-model"
  model   = module.store.models["agent"]
  package = var.package

  # The agent invokes the alias itself, so there is no URL.
  front_door = "buffered"
}

# Each published version with a snapshot is billed while it exists: those that no alias uses are deleted once a day. Not
# those of the agent, which cost nothing, and with which executions go on.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}

module "agent" {
  source = "../../modules/durable-agent"

  name              = var.name
  package           = var.agent_package
  inference         = module.inference
  state             = module.store.state
  execution_timeout = var.execution_days * 24 * 3600
  gateways          = var.gateways
  code_interpreters = var.code_interpreters
  topic_arn         = var.topic_arn

  environment = merge(
    {
      RESEARCH_MODEL = var.model_name
      RESEARCH_CODE  = length(var.code_interpreters) > 0 ? "agentcore" : "none"
    },
    length(var.code_interpreters) > 0 ? { RESEARCH_INTERPRETER = basename(var.code_interpreters[0]) } : {},
    var.tools_url == null ? {} : { RESEARCH_TOOLS = var.tools_url },
  )
}
