output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function without a version; begin executions at the alias instead."
  value       = aws_lambda_function.this.arn
}

output "alias_name" {
  description = "Name of the alias at which executions begin."
  value       = aws_lambda_alias.live.name
}

output "alias_arn" {
  description = "ARN of the alias: begin executions there, and name it in the policies of callers."
  value       = aws_lambda_alias.live.arn
}

output "version" {
  description = "Number of the newest published version."
  value       = aws_lambda_function.this.version
}

output "agent" {
  description = "Where the agent is, as MODULE:NAME."
  value       = local.agent
}

output "state" {
  description = "Where documents and large results are: the input `state`."
  value       = var.state
}

output "role_arn" {
  description = "ARN of the function's role."
  value       = module.function.role_arn
}

output "role_name" {
  description = "Name of the function's role, for policies of what its tools call."
  value       = module.function.role_name
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = module.function.log_group_name
}

output "alarm_arns" {
  description = "ARNs of the alarms, by `failed`, `timed-out` and `throttled`."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
}
