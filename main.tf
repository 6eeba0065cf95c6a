# The shortest start: a bucket with the model, the function that serves it, and the pruner of its unused versions.

locals {
  built = { for function in ["inference", "pruner"] : function => { path = "${path.module}/dist/lambda-llm-${function}-arm64.zip", manifest = null, code_sha256 = null, s3 = null } }
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
  package              = var.package == null ? local.built["inference"] : var.package
  context              = var.context
  system_prompt        = var.system_prompt
  allowed_principals   = var.allowed_principals
  environment          = var.environment
  revision             = var.revision
  reserved_concurrency = var.reserved_concurrency
  sessions             = var.keep_sessions ? module.model_store.sessions : null
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

module "version_pruner" {
  source = "./modules/version-pruner"

  function_arn         = module.inference.function_arn
  package              = var.pruner_package == null ? local.built["pruner"] : var.pruner_package
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}
