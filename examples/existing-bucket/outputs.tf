output "url" {
  description = "Function URL of the model."
  value       = module.inference.url
}

output "chat" {
  description = "Command to chat with the model."
  value       = "lambda-llm chat ${module.inference.url}v1"
}

output "alias_arn" {
  description = "ARN of the alias: invoke it, and name it in the policies of callers."
  value       = module.inference.alias_arn
}

output "role_arn" {
  description = "ARN of the function's role, for bucket and key policies that list their readers."
  value       = module.inference.role_arn
}
