output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function without version. Call the alias instead."
  value       = aws_lambda_function.this.arn
}

output "alias_name" {
  description = "Name of the alias through which all traffic goes."
  value       = aws_lambda_alias.live.name
}

output "alias_arn" {
  description = "ARN of the alias: what to invoke, and what to allow others to invoke."
  value       = aws_lambda_alias.live.arn
}

output "url" {
  description = "Function URL of the alias, for any OpenAI client that signs with AWS credentials; null behind the buffered front door."
  value       = one(aws_lambda_function_url.live[*].function_url)
}

output "version" {
  description = "Number of the newest published version."
  value       = aws_lambda_function.this.version
}

output "role_arn" {
  description = "ARN of the function's role."
  value       = module.function.role_arn
}

output "role_name" {
  description = "Name of the function's role."
  value       = module.function.role_name
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = module.function.log_group_name
}

output "log_group_arn" {
  description = "ARN of the function's log group."
  value       = module.function.log_group_arn
}

output "model" {
  description = "The model that is served, as it was given."
  value       = var.model
}

output "sessions" {
  description = "Where conversations are kept, as it was given; null when they are not."
  value       = var.sessions
}
