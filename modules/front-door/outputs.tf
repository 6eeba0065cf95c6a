output "base_url" {
  description = "Base URL for OpenAI clients (`OPENAI_BASE_URL`); it ends in /v1."
  value = local.cloudfront ? "https://${var.domain != null ? var.domain.name : aws_cloudfront_distribution.this[0].domain_name}/v1" : (
    var.domain != null ? "https://${aws_api_gateway_base_path_mapping.this[0].domain_name}/v1" : "${aws_api_gateway_stage.this[0].invoke_url}/v1"
  )

  # Whoever has the URL may use it.
  depends_on = [
    aws_lambda_permission.rest,
    aws_lambda_permission.authorizer,
    aws_lambda_permission.url,
    aws_lambda_permission.function,
    aws_api_gateway_usage_plan_key.tenant,
    aws_api_gateway_method_settings.this,
    aws_wafv2_web_acl_association.this,
    aws_route53_record.this,
  ]
}

output "table_name" {
  description = "Name of the table of keys, for `lambda-llm keys`; null with `kind = \"cloudfront\"`."
  value       = local.rest ? local.table_name : null
}

output "table_arn" {
  description = "ARN of the table of keys, for the policies of those who make keys; null with `kind = \"cloudfront\"`."
  value       = local.rest ? local.table_arn : null
}

output "api_id" {
  description = "Id of the REST API; null with `kind = \"cloudfront\"`, as are `execution_arn`, `stage_name` and `stage_arn`."
  value       = one(aws_api_gateway_rest_api.this[*].id)
}

output "execution_arn" {
  description = "ARN of the REST API as in policies (`execute-api`)."
  value       = one(aws_api_gateway_rest_api.this[*].execution_arn)
}

output "stage_name" {
  description = "Name of the stage."
  value       = one(aws_api_gateway_stage.this[*].stage_name)
}

output "stage_arn" {
  description = "ARN of the stage."
  value       = one(aws_api_gateway_stage.this[*].arn)
}

output "authorizer_function_name" {
  description = "Name of the authorizer; null with `kind = \"cloudfront\"`, as are its ARN, its role and its log group."
  value       = one(aws_lambda_function.authorizer[*].function_name)
}

output "authorizer_function_arn" {
  description = "ARN of the authorizer."
  value       = one(aws_lambda_function.authorizer[*].arn)
}

output "authorizer_role_arn" {
  description = "ARN of the authorizer's role."
  value       = one(module.authorizer[*].role_arn)
}

output "authorizer_log_group_name" {
  description = "Name of the authorizer's log group."
  value       = one(module.authorizer[*].log_group_name)
}

output "access_log_group_name" {
  description = "Name of the access log's group; null without one."
  value       = one(aws_cloudwatch_log_group.access[*].name)
}

output "usage_plan_ids" {
  description = "Ids of the usage plans, by the plan's name."
  value       = { for plan, made in aws_api_gateway_usage_plan.this : plan => made.id }
}

output "distribution_id" {
  description = "Id of the distribution; null with `kind = \"rest\"`, as are its ARN and its domain name."
  value       = one(aws_cloudfront_distribution.this[*].id)
}

output "distribution_arn" {
  description = "ARN of the distribution."
  value       = one(aws_cloudfront_distribution.this[*].arn)
}

output "domain_target" {
  description = "Where a DNS record of the domain has to point, if `domain.zone` is not set: `name`, and `zone_id` for an alias record."
  value       = var.domain == null ? null : local.alias_target
}
