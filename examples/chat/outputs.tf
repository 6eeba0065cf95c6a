output "url" {
  description = "Function URL of the model."
  value       = module.lambda_llm.url
}

output "chat" {
  description = "The command that talks to it."
  value       = "lambda-llm chat ${module.lambda_llm.url}v1"
}

output "function_name" {
  description = "Name of the function."
  value       = module.lambda_llm.function_name
}

output "alias_arn" {
  description = "What to invoke, and what to allow others to invoke."
  value       = module.lambda_llm.alias_arn
}

output "version" {
  description = "Number of the version that serves."
  value       = module.lambda_llm.version
}

output "bucket" {
  description = "Bucket with the model."
  value       = module.lambda_llm.bucket
}
