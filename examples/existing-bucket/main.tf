# With an existing bucket and KMS key: the function may read one version of one object, and nothing else.

module "inference" {
  source = "../../modules/inference"

  name        = var.name
  model       = jsondecode(file(var.pushed_model))
  package     = var.package
  environment = var.environment
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}
