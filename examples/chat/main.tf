# A model behind a Function URL: bucket, function, alias, role and logs in one block.

module "lambda_llm" {
  source = "../.."

  name                 = var.name
  model                = jsondecode(var.pushed_model == null ? jsonencode({ file = var.model_file }) : file(var.pushed_model))
  package              = var.package
  pruner_package       = var.pruner_package
  system_prompt        = var.system_prompt
  callers              = var.callers
  reserved_concurrency = var.reserved_concurrency

  # `terraform destroy` is to leave nothing here. A bucket whose models are to stay has false, the default.
  force_destroy = true
}
