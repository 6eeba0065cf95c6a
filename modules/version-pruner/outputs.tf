output "function_name" {
  description = "Name of the pruner; invoke it to prune now, or with `{\"dry_run\": true}` to list what it would delete."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the pruner."
  value       = aws_lambda_function.this.arn
}

output "role_arn" {
  description = "ARN of the pruner's role."
  value       = module.function.role_arn
}

output "log_group_name" {
  description = "Name of the pruner's log group."
  value       = module.function.log_group_name
}
