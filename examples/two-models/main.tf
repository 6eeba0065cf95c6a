# Two models of one bucket, each with a function, an alias and a URL of its own.

module "model_store" {
  source = "../../modules/model-store"

  models         = { for name, file in var.models : name => { file = file } }
  create_kms_key = var.create_kms_key
}

module "inference" {
  source   = "../../modules/inference"
  for_each = var.models

  name    = "${var.name}-${each.key}"
  model   = module.model_store.models[each.key]
  package = var.package
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source   = "../../modules/version-pruner"
  for_each = module.inference

  function_arn = each.value.function_arn
  package      = var.pruner_package
}

# Warns of a version that SnapStart did not initialize.
module "snapstart_check" {
  source   = "../../modules/snapstart-check"
  for_each = module.inference

  function_name = each.value.function_name
  qualifier     = each.value.version
}

# What an application needs to call both.
data "aws_iam_policy_document" "callers" {
  statement {
    sid       = "CallModels"
    actions   = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
    resources = [for llm in module.inference : llm.alias_arn]
  }
}

resource "aws_iam_policy" "callers" {
  name_prefix = "${var.name}-callers-"
  description = "May call the models of ${var.name}"
  policy      = data.aws_iam_policy_document.callers.json

  depends_on = [module.inference]
}
