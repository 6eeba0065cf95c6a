output "url" {
  description = "Function URL, for any OpenAI client that signs with AWS credentials; `lambda-llm chat URL` talks to it."
  value       = module.inference.url
}

output "function_name" {
  description = "Name of the function."
  value       = module.inference.function_name
}

output "alias_arn" {
  description = "ARN of the alias: what to invoke, and what to allow others to invoke."
  value       = module.inference.alias_arn
}

output "version" {
  description = "Number of the newest published version."
  value       = module.inference.version
}

output "bucket" {
  description = "Name of the bucket for models and state."
  value       = module.model_store.bucket
}

output "model" {
  description = "The model that is served: bucket, key, version, size and checksums."
  value       = module.inference.model
}

output "sessions" {
  description = "Where conversations are kept; null unless `keep_sessions`."
  value       = module.inference.sessions
}

output "pruner_name" {
  description = "Name of the function that deletes unused versions every day; invoke it to do so at once."
  value       = module.version_pruner.function_name
}
