# A model behind a Function URL: bucket, function, alias, role and logs in one block.

module "lambda_llm" {
  source = "../.."

  name                 = var.name
  model                = jsondecode(var.pushed_model == null ? jsonencode({ file = var.model_file }) : file(var.pushed_model))
  package              = var.package
  pruner_package       = var.pruner_package
  system_prompt        = var.system_prompt
  allowed_principals   = var.allowed_principals
  revision             = var.revision
  reserved_concurrency = var.reserved_concurrency

  # So that `terraform destroy` removes the models too. The default, false, protects a bucket with models.
  force_destroy = true
}
