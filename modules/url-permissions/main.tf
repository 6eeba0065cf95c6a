# Callers of a Function URL need both permissions. Here the second one holds for calls through the URL only, so no caller
# can write an event of its own, with a request context that only AWS may set.

data "aws_partition" "current" {}

locals {
  # As AWS stores them: it replaces an account id by the ARN of the account's root, which every later plan would show as
  # a change. An organization is anyone under a condition.
  principals = { for key, principal in var.allowed_principals : key => {
    principal = can(regex("^[0-9]{12}$", principal)) ? "arn:${data.aws_partition.current.partition}:iam::${principal}:root" : (
      can(regex("^o-[a-z0-9]{10,32}$", principal)) ? "*" : principal
    )
    organization = can(regex("^o-[a-z0-9]{10,32}$", principal)) ? principal : null
  } }
  # Resources are named after these; only the principals may be sensitive.
  principal_names = nonsensitive(keys(var.allowed_principals))
}

resource "aws_lambda_permission" "invoke_url" {
  for_each = toset(local.principal_names)

  statement_id_prefix    = "${each.key}-by-url-"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = var.function.function_name
  qualifier              = var.function.alias_name
  principal              = local.principals[each.key].principal
  principal_org_id       = local.principals[each.key].organization
  function_url_auth_type = "AWS_IAM"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lambda_permission" "invoke" {
  for_each = toset(local.principal_names)

  statement_id_prefix      = "${each.key}-by-url-invoke-"
  action                   = "lambda:InvokeFunction"
  function_name            = var.function.function_name
  qualifier                = var.function.alias_name
  principal                = local.principals[each.key].principal
  principal_org_id         = local.principals[each.key].organization
  invoked_via_function_url = true

  lifecycle {
    create_before_destroy = true
  }
}
