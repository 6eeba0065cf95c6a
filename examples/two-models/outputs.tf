output "urls" {
  description = "Function URL of each model, by name."
  value       = { for name, llm in module.inference : name => llm.url }
}

output "functions" {
  description = "Everything about each function, by the model's name."
  value       = module.inference
}

output "callers_policy_arn" {
  description = "ARN of the policy to attach to the roles of callers."
  value       = aws_iam_policy.callers.arn
}

output "bucket" {
  description = "Bucket with the models."
  value       = module.model_store.bucket
}

output "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the bucket; null with S3's own encryption."
  value       = module.model_store.kms_key_arn
}
