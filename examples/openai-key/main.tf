# A model for clients that know a base URL and a key, and nothing of AWS.

module "inference" {
  source = "../../modules/inference"

  name       = var.name
  model      = jsondecode(file(var.pushed_model))
  package    = var.package
  front_door = var.streaming ? "streaming" : "buffered"

  # Whose request it is, the front door says: caches and sessions of tenants are kept apart.
  environment = { LAMBDA_LLM_TENANT = "authorizer" }
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}

# Keys are made by `lambda-llm keys`; they work for the tenants of these plans alone.
module "front_door" {
  source = "../../modules/front-door"

  name             = var.name
  function         = module.inference
  package          = var.authorizer_package
  streaming        = var.streaming
  plans            = var.plans
  account_log_role = var.account_log_role

  # So that `terraform destroy` removes the keys too. The default, true, protects them.
  deletion_protection = false
}
