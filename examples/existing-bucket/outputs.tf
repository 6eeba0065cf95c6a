output "url" {
  description = "Function URL of the model."
  value       = module.inference.url
}

output "chat" {
  description = "The command that talks to it."
  value       = "lambda-llm chat ${module.inference.url}v1"
}

output "alias_arn" {
  description = "What to invoke, and what to allow others to invoke."
  value       = module.inference.alias_arn
}

output "role_arn" {
  description = "The function's role, for the policies of bucket and key where those name who may read."
  value       = module.inference.role_arn
}
