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
  # Resources are named after these; only the principals may be sensitive.
  principal_names = nonsensitive(keys(var.allowed_principals))
}

# Callers of a Function URL need both permissions. A statement is made anew, under a name of its own, before the one that it
# replaces is taken away, so that nobody is refused meanwhile.
resource "aws_lambda_permission" "invoke_url" {
  for_each = toset(nonsensitive(var.front_door) == "streaming" ? local.principal_names : [])

  statement_id_prefix    = "${each.key}-url-"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.this.function_name
  qualifier              = aws_lambda_alias.live.name
  principal              = local.principals[each.key].principal
  principal_org_id       = local.principals[each.key].organization
  function_url_auth_type = "AWS_IAM"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lambda_permission" "invoke" {
  for_each = toset(local.principal_names)

  statement_id_prefix = "${each.key}-invoke-"
  action              = "lambda:InvokeFunction"
  function_name       = aws_lambda_function.this.function_name
  qualifier           = aws_lambda_alias.live.name
  principal           = local.principals[each.key].principal
  principal_org_id    = local.principals[each.key].organization

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lambda_permission" "service" {
  for_each = toset(nonsensitive(keys(var.allowed_services)))

  statement_id_prefix = "${each.key}-service-"
  action              = "lambda:InvokeFunction"
  function_name       = aws_lambda_function.this.function_name
  qualifier           = aws_lambda_alias.live.name
  principal           = var.allowed_services[each.key].service
  source_arn          = var.allowed_services[each.key].source_arn
  source_account      = var.allowed_services[each.key].source_account

  lifecycle {
    create_before_destroy = true
  }
}
