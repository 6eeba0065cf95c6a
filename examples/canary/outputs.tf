output "url" {
  description = "Function URL of the alias, whichever version answers."
  value       = module.inference.url
}

output "version" {
  description = "Number of the newest version: the one to name as `stable.version` when the next is tried."
  value       = module.inference.version
}

output "alias_arn" {
  description = "What to invoke, and what to allow others to invoke."
  value       = module.inference.alias_arn
}
