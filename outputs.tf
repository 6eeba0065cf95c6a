output "url" {
  description = "Function URL, for any OpenAI client that signs requests with AWS credentials; `lambda-llm chat URL` is one."
  value       = module.inference.url
}

output "function_name" {
  description = "Name of the function."
  value       = module.inference.function_name
}

output "alias_arn" {
  description = "ARN of the alias: invoke it, and name it in the policies of callers."
  value       = module.inference.alias_arn
}

output "version" {
  description = "Number of the newest published version."
  value       = module.inference.version
}

output "bucket" {
  description = "Name of the bucket for models, conversations and state."
  value       = module.model_store.bucket
}

output "model" {
  description = "The served model: bucket, key, version, size and checksums."
  value       = module.inference.model
}

output "sessions" {
  description = "Where KV caches of conversations are stored; null unless `keep_sessions` is true."
  value       = module.inference.sessions
}

output "pruner_name" {
  description = "Name of the function that deletes unused versions every day; invoke it to delete them now."
  value       = module.version_pruner.function_name
}
