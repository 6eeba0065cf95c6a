# Usage plans. API Gateway counts requests by API key, so each tenant of a plan has one, which the authorizer names for it
# (`usageIdentifierKey`). A tenant without one is refused.

locals {
  tenants = merge([
    for plan, limits in var.plans : { for tenant in limits.tenants : "${plan}/${tenant}" => { plan = plan, tenant = tenant } }
  ]...)
}

resource "aws_api_gateway_usage_plan" "this" {
  for_each = local.rest ? var.plans : {}

  name        = "${var.name}-${each.key}"
  description = "Plan ${each.key} of the front door ${var.name}"
  tags        = local.tags

  api_stages {
    api_id = aws_api_gateway_rest_api.this[0].id
    stage  = aws_api_gateway_stage.this[0].stage_name
  }

  throttle_settings {
    rate_limit  = each.value.requests_per_second
    burst_limit = each.value.burst
  }

  dynamic "quota_settings" {
    for_each = each.value.quota == null ? [] : [each.value.quota]

    content {
      limit  = quota_settings.value.requests
      period = quota_settings.value.period
    }
  }
}

# The value is an identifier and no secret, so the state may have it: API Gateway takes it from the authorizer alone
# (`api_key_source`), and who sends it in a header gains nothing. An account has no two keys with one value in a region,
# hence the API's id.
resource "aws_api_gateway_api_key" "tenant" {
  for_each = local.rest ? local.tenants : {}

  name        = "${var.name}/${each.key}"
  description = "Tenant ${each.value.tenant} in the plan ${each.value.plan} of the front door ${var.name}"
  value       = "lambda-llm-${substr(sha256("${aws_api_gateway_rest_api.this[0].id}/${each.key}"), 0, 40)}"
  tags        = local.tags
}

resource "aws_api_gateway_usage_plan_key" "tenant" {
  for_each = local.rest ? local.tenants : {}

  key_id        = aws_api_gateway_api_key.tenant[each.key].id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.this[each.value.plan].id
}
