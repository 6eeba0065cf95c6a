# The two-minute start: a bucket with the model in it, the function that serves it, and what deletes its old versions.

locals {
  built   = { path = "${path.module}/dist/lambda-llm-arm64.zip", manifest = null, s3 = null }
  package = var.package == null ? local.built : var.package
}

module "model_store" {
  source = "./modules/model-store"

  models         = var.model.file == null ? {} : { served = { file = var.model.file, memory = var.model.memory } }
  create_kms_key = var.create_kms_key
  force_destroy  = var.force_destroy
  tags           = var.tags
}

module "inference" {
  source = "./modules/inference"

  name                 = var.name
  model                = var.model.file == null ? var.model : merge(var.model, module.model_store.models["served"])
  package              = local.package
  context              = var.context
  system_prompt        = var.system_prompt
  callers              = var.callers
  reserved_concurrency = var.reserved_concurrency
  sessions             = var.keep_sessions ? module.model_store.sessions : null
  tags                 = var.tags
}

module "version_pruner" {
  source = "./modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = local.package
  tags         = var.tags
}
