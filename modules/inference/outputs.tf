output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function without a version; invoke the alias instead."
  value       = aws_lambda_function.this.arn
}

output "alias_name" {
  description = "Name of the alias through which all traffic goes."
  value       = aws_lambda_alias.live.name
}

output "alias_arn" {
  description = "ARN of the alias: invoke it, and name it in the policies of callers."
  value       = aws_lambda_alias.live.arn
}

output "invoke_arn" {
  description = "ARN by which API Gateway invokes the alias."
  value       = aws_lambda_alias.live.invoke_arn
}

output "qualified_arn" {
  description = "ARN of the newest published version, whichever the alias sends requests to."
  value       = aws_lambda_function.this.qualified_arn
}

output "url" {
  description = "Function URL of the alias, for any OpenAI client that signs requests with AWS credentials; null with `front_door = \"buffered\"`."
  value       = one(aws_lambda_function_url.live[*].function_url)
}

output "url_id" {
  description = "Id of the Function URL, the first label of its host; null with `front_door = \"buffered\"`."
  value       = one(aws_lambda_function_url.live[*].url_id)
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

output "policy_json" {
  description = "Everything that the function's role must be allowed: attach it to an existing `role`. The previous models belong to it for as long as `previous_models` names them."
  value       = data.aws_iam_policy_document.needed.json
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
  description = "The served model: the input `model`."
  value       = var.model
}

output "sessions" {
  description = "Where KV caches of conversations are stored: the input `sessions`; null if they are not stored."
  value       = var.sessions
}
