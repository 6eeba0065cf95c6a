output "function_name" {
  description = "Name of the rollback's function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the rollback's function, for `alarm_actions` of alarms of your own."
  value       = aws_lambda_function.this.arn
}

output "alarm_arns" {
  description = "ARNs of the alarms that may roll back, by `errors`, `duration` and `other-NAME`."
  value       = local.alarms
}

output "role_arn" {
  description = "ARN of the rollback's role."
  value       = module.function.role_arn
}

output "log_group_name" {
  description = "Name of the rollback's log group."
  value       = module.function.log_group_name
}
