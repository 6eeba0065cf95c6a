# One address for three models: a small one of your own on Lambda, a large one of Bedrock that takes what is too long or too
# much for it, and one on GPUs, of which only the name is known here. Each tenant has a budget a day.

data "aws_partition" "current" {}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "lambda" {
  service_id = "lambda"
}

locals {
  region  = data.aws_service.lambda.region
  account = split(":", module.inference.alias_arn)[4]
  gpus    = var.gpu == null ? [] : [var.gpu]

  # `lambda-llm router check` says what is wrong with the output `configuration`, `explain` which backend a request would have.
  configuration = {
    version = 1

    backends = merge(
      {
        small = {
          kind       = "lambda_invoke"
          place      = "lambda"
          region     = local.region
          function   = module.inference.alias_arn
          model      = var.model_name
          context    = var.context
          features   = ["tools", "json_schema"]
          operations = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]
          price      = var.speed
          url        = var.endpoints.lambda
        }

        bedrock = {
          kind       = "converse"
          place      = "account"
          region     = var.bedrock.region
          model      = var.bedrock.model
          context    = var.bedrock.context
          features   = ["tools"]
          operations = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]
          price      = var.bedrock.price
          url        = var.endpoints.bedrock
        }
      },
      { for gpu in local.gpus : "gpu" => {
        kind      = "sagemaker"
        place     = "account"
        region    = local.region
        endpoint  = gpu.endpoint
        component = gpu.component
        model     = gpu.model
        context   = gpu.context
        features  = ["tools", "json_schema"]
        price     = gpu.price
        url       = var.endpoints.sagemaker
      } },
    )

    models = {
      # The small model first. Bedrock takes what is longer than its context, and what comes while all environments are busy.
      assistant = { backends = ["small", "bedrock"], max_tokens = 512 }

      # While the endpoint has no copy, or where there is none at all, Bedrock answers.
      large = { backends = concat([for gpu in local.gpus : "gpu"], ["bedrock"]), max_tokens = 1024 }
    }

    tenants = merge(
      # Whoever may use the URL and has no entry is a tenant of its own.
      { "*" = { models = ["assistant"], place = "account", day = { dollars = var.dollars_a_day } } },
      { for name, tenant in var.tenants : name => {
        models     = ["*"]
        principals = tenant.principals
        place      = tenant.place
        day        = { dollars = tenant.dollars_a_day }
      } },
    )
  }
}

# -- The small model ----------------------------------------------------------------------------------

module "store" {
  source = "../../modules/model-store"

  models = { small = { file = var.model_file } }

  # So that `terraform destroy` removes the model too. The default, false, protects a bucket that has any.
  force_destroy = true
}

module "inference" {
  source = "../../modules/inference"

  name                 = "${var.name}-small"
  model                = module.store.models["small"]
  package              = var.package
  context              = var.context
  reserved_concurrency = var.environments
}

# -- The router ---------------------------------------------------------------------------------------

module "router" {
  source = "../../modules/router"

  name          = var.name
  package       = var.router_package
  configuration = { content = yamlencode(local.configuration) }

  backends = {
    functions      = [module.inference.alias_arn]
    bedrock_models = var.bedrock.arns

    sagemaker_endpoints = flatten([for gpu in local.gpus : concat(
      ["arn:${data.aws_partition.current.partition}:sagemaker:${local.region}:${local.account}:endpoint/${lower(gpu.endpoint)}"],
      gpu.component == null ? [] : ["arn:${data.aws_partition.current.partition}:sagemaker:${local.region}:${local.account}:inference-component/${lower(gpu.component)}"],
    )])
  }

  # Responses that take longer than a client waits: `background: true`.
  background = {}

  # So that `terraform destroy` removes the budgets and the answers too. The defaults protect them.
  budgets       = { deletion_protection = false }
  force_destroy = true
}

# Each published version with a snapshot is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source   = "../../modules/version-pruner"
  for_each = { small = module.inference.function_arn, router = module.router.function_arn }

  name         = "${var.name}-${each.key}-pruner"
  function_arn = each.value
  package      = var.pruner_package
}

# -- What it does ---------------------------------------------------------------------------------------

# First tokens, errors, dollars, budgets by tenant: a dashboard, alarms, and saved queries.
module "observability" {
  source = "../../modules/observability"

  name = var.name

  inference = { small = {
    function_name  = module.inference.function_name
    log_group_name = module.inference.log_group_name
    models         = [var.model_name]
    concurrency    = var.environments
  } }

  routers = { llm = module.router }
  pruners = module.version_pruner

  alarm_actions = var.alarm_actions
}
