# Two functions whose names and roles are known after apply, each found through variables, outputs and for_each.
module "roles" {
  source = "./roles"
}

module "function" {
  source   = "./function"
  for_each = { first = module.roles.first, second = module.roles.second }

  role_arn = each.value
}

module "access" {
  source = "./access"

  function_name = module.function["first"].name
}

resource "aws_iam_role_policy" "first" {
  role   = module.roles.first_name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" }] })
}

resource "aws_iam_role_policy" "other" {
  role   = module.roles.other_name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }] })
}

resource "aws_iam_role_policy" "second" {
  role   = module.roles.second_name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }] })
}

module "pruner" {
  source = "../../fixtures/CKV_LLM_15/pass/version-pruner"

  function_name = module.function["first"].name
}
