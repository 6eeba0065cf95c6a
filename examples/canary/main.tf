# Two models behind one alias: the newest version receives a share of the requests, the stable one the rest.

module "inference" {
  source = "../../modules/inference"

  name    = var.name
  model   = jsondecode(file(var.pushed_model))
  package = var.package

  canary = var.stable == null ? null : { stable_version = var.stable.version, weight = var.weight }

  # Lambda recreates snapshots from time to time, and the stable version then loads its model again.
  previous_models = var.stable == null ? [] : [jsondecode(file(var.stable.pushed_model))]
}

# A failing canary loses its share by alarm.
module "canary_rollback" {
  source = "../../modules/canary-rollback"
  count  = var.stable == null ? 0 : 1

  function = module.inference
  package  = var.rollback_package
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}
