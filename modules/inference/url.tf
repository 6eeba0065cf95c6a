# The Function URL and who may call it, in addition to what IAM policies in this account allow.

resource "aws_lambda_function_url" "live" {
  count = var.front_door == "streaming" ? 1 : 0

  function_name      = aws_lambda_function.this.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"

  dynamic "cors" {
    for_each = var.cors == null ? [] : [var.cors]

    content {
      allow_origins     = cors.value.allow_origins
      allow_methods     = cors.value.allow_methods
      allow_headers     = cors.value.allow_headers
      expose_headers    = cors.value.expose_headers
      allow_credentials = cors.value.allow_credentials
      max_age           = cors.value.max_age
    }
  }
}

locals {
  # As AWS stores them: it replaces an account id by the ARN of the account's root, which every later plan would show as
  # a change. An organization is anyone under a condition.
  principals = { for key, principal in var.allowed_principals : key => {
    principal = can(regex("^[0-9]{12}$", principal)) ? "arn:${data.aws_partition.current.partition}:iam::${principal}:root" : (
      can(regex("^o-[a-z0-9]{10,32}$", principal)) ? "*" : principal
    )
    organization = can(regex("^o-[a-z0-9]{10,32}$", principal)) ? principal : null
  } }
}

# Callers of a Function URL need both permissions.
resource "aws_lambda_permission" "invoke_url" {
  for_each = { for key, principal in local.principals : key => principal if var.front_door == "streaming" }

  statement_id           = "${each.key}-url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.this.function_name
  qualifier              = aws_lambda_alias.live.name
  principal              = each.value.principal
  principal_org_id       = each.value.organization
  function_url_auth_type = "AWS_IAM"
}

resource "aws_lambda_permission" "invoke" {
  for_each = local.principals

  statement_id     = "${each.key}-invoke"
  action           = "lambda:InvokeFunction"
  function_name    = aws_lambda_function.this.function_name
  qualifier        = aws_lambda_alias.live.name
  principal        = each.value.principal
  principal_org_id = each.value.organization
}

resource "aws_lambda_permission" "service" {
  for_each = var.allowed_services

  statement_id   = "${each.key}-service"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this.function_name
  qualifier      = aws_lambda_alias.live.name
  principal      = each.value.service
  source_arn     = each.value.source_arn
  source_account = each.value.source_account
}
