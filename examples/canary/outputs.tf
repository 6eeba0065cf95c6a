output "url" {
  description = "Function URL of the alias."
  value       = module.inference.url
}

output "version" {
  description = "Number of the newest version, which becomes `stable.version` in the next canary."
  value       = module.inference.version
}

output "alias_arn" {
  description = "ARN of the alias: invoke it, and name it in the policies of callers."
  value       = module.inference.alias_arn
}
