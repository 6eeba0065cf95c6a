output "filename" {
  description = "The zip on this machine; null for an uploaded one."
  value       = var.package.path
}

output "s3_bucket" {
  description = "Bucket of the uploaded zip; null for one on this machine, as the next two."
  value       = try(var.package.s3.bucket, null)
}

output "s3_key" {
  description = "Key of the uploaded zip."
  value       = try(var.package.s3.key, null)
}

output "s3_object_version" {
  description = "Version of the uploaded zip."
  value       = try(var.package.s3.version_id, null)
}

output "source_code_hash" {
  description = "SHA-256 of the zip in base64, as its manifest has it."
  value       = try(local.manifest.code_sha256, null)
}

output "handler" {
  description = "Handler of the function for Lambda's Python runtime."
  value       = try(local.manifest.handler, null)
}

output "exec_wrapper" {
  description = "Program behind the Lambda Web Adapter, as a path in the zip; empty for a function without one."
  value       = try(coalesce(local.manifest.exec_wrapper), "")
}

output "architectures" {
  description = "What the package was built for."
  value       = try([local.manifest.architecture], null)
}

output "runtime" {
  description = "Runtime that the package was built for."
  value       = try(local.manifest.runtime, null)
}

# A function that waits for its role's ARN finds a role that may write its log.
output "role_arn" {
  description = "ARN of the role."
  value       = aws_iam_role.this.arn
  depends_on  = [aws_iam_role_policy.logs]
}

output "role_name" {
  description = "Name of the role."
  value       = aws_iam_role.this.name
}

# What else the role is to be allowed follows the log permission, so that an update never takes that away meanwhile.
output "role_id" {
  description = "Id of the role, for further policies."
  value       = aws_iam_role.this.id
  depends_on  = [aws_iam_role_policy.logs]
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = aws_cloudwatch_log_group.this.arn
}

output "tags" {
  description = "Tags of the function: the given ones and the mark."
  value       = merge(var.tags, { "lambda-llm" = var.mark })
}
