output "url" {
  description = "Function URL of the model."
  value       = module.lambda_llm.url
}

output "chat" {
  description = "Command to chat with the model."
  value       = "lambda-llm chat ${module.lambda_llm.url}v1"
}

output "function_name" {
  description = "Name of the function."
  value       = module.lambda_llm.function_name
}

output "alias_arn" {
  description = "ARN of the alias: invoke it, and name it in the policies of callers."
  value       = module.lambda_llm.alias_arn
}

output "version" {
  description = "Number of the newest published version."
  value       = module.lambda_llm.version
}

output "bucket" {
  description = "Bucket with the model."
  value       = module.lambda_llm.bucket
}
