# A function in one module, what belongs to it in another, its role in a third: found through outputs and variables.
module "function" {
  source = "./function"

  name = "far"
}

module "access" {
  source = "./access"

  function_name = module.function.name
  qualifier     = module.function.alias
}

module "pruner" {
  source = "../../fixtures/CKV_LLM_15/pass/version-pruner"

  function_name = module.function.name
}
