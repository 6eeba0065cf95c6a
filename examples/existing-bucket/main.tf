# A bucket and a KMS key that are there already: the function gets the right to read one version of one object, no more.

module "inference" {
  source = "../../modules/inference"

  name        = var.name
  model       = merge(jsondecode(file(var.pushed_model)), { kms_key_arn = var.kms_key_arn })
  package     = var.package
  environment = var.environment
}

# Each published version costs as long as it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}
