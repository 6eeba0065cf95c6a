locals {
  endpoint_arn  = try(aws_cloudformation_stack.sagemaker[0].outputs["EndpointArn"], null)
  component_arn = try(aws_cloudformation_stack.sagemaker[0].outputs["InferenceComponentArn"], null)
  alias_arn     = try(aws_cloudformation_stack.lambda[0].outputs["AliasArn"], null)

  # Both operations are of the endpoint; one that names a component is allowed by the component, too.
  invocations = {
    sagemaker  = { actions = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"], resources = [local.endpoint_arn, local.component_arn] }
    lambda-gpu = { actions = ["lambda:InvokeFunction"], resources = [local.alias_arn] }
    ecs        = null
  }[var.kind]
}

data "aws_iam_policy_document" "invoke" {
  count = var.kind == "ecs" ? 0 : 1

  statement {
    sid       = "AskModel"
    actions   = local.invocations.actions
    resources = local.invocations.resources
  }
}

output "backend" {
  description = "What a router needs to reach the model: `kind` of the backend (sagemaker, lambda_invoke or openai_http), `model`, `region`, and of each kind its own: `endpoint_name` and `inference_component`, `function` (the ARN of an alias), or `url`. `arns`: what its role must be allowed to ask. `scales_to_zero`: requests fail for minutes while a copy is started."
  value = {
    kind                = { sagemaker = "sagemaker", lambda-gpu = "lambda_invoke", ecs = "openai_http" }[var.kind]
    model               = var.name
    region              = local.region
    endpoint_name       = var.kind == "sagemaker" ? var.name : null
    inference_component = var.kind == "sagemaker" ? var.name : null
    function            = local.alias_arn
    url                 = var.kind == "ecs" ? "https://${var.ecs.host}" : null
    arns                = try(local.invocations.resources, [])
    scales_to_zero      = var.copies.min == 0
  }

  # Not before it can be asked, and not without those who wake it.
  depends_on = [
    aws_appautoscaling_policy.sagemaker_wakes,
    aws_cloudwatch_metric_alarm.sagemaker_wakes,
    aws_ecs_service.this,
    aws_appautoscaling_policy.ecs,
    aws_cloudwatch_metric_alarm.ecs_wakes,
  ]
}

output "invoke_policy_json" {
  description = "Policy for whoever sends requests: this endpoint, and nothing else. Null for `ecs`, where security groups say who may connect."
  value       = one(data.aws_iam_policy_document.invoke[*].json)
}

output "role_arn" {
  description = "ARN of the role that the model runs with."
  value       = aws_iam_role.this.arn
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "load_balancer" {
  description = "Of `ecs`: what a DNS record for `ecs.host` points at (`dns_name`, `zone_id`). Null for any other kind."
  value       = var.kind == "ecs" ? { dns_name = aws_lb.this[0].dns_name, zone_id = aws_lb.this[0].zone_id } : null
}
