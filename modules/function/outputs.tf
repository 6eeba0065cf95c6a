output "filename" {
  description = "Path of the local zip; null if the zip is in S3."
  value       = var.package.path
}

output "s3_bucket" {
  description = "Bucket of the zip in S3; null for a local zip, as are `s3_key` and `s3_object_version`."
  value       = try(var.package.s3.bucket, null)
}

output "s3_key" {
  description = "Key of the zip in S3."
  value       = try(var.package.s3.key, null)
}

output "s3_object_version" {
  description = "Version of the zip in S3."
  value       = try(var.package.s3.version_id, null)
}

output "source_code_hash" {
  description = "SHA-256 of the zip in base64, from its manifest."
  value       = try(local.manifest.code_sha256, null)
}

output "handler" {
  description = "Handler of the function for Lambda's Python runtime."
  value       = try(local.manifest.handler, null)
}

output "exec_wrapper" {
  description = "Path in the zip of the program behind the Lambda Web Adapter; empty for a function without one."
  value       = try(coalesce(local.manifest.exec_wrapper), "")
}

output "architectures" {
  description = "Architecture that the package was built for, as a list."
  value       = try([local.manifest.architecture], null)
}

output "runtime" {
  description = "Runtime that the package was built for."
  value       = try(local.manifest.runtime, null)
}

# So that a function is created only when its role may write to its log group.
output "role_arn" {
  description = "ARN of the role."
  value       = aws_iam_role.this.arn
  depends_on  = [aws_iam_role_policy.logs]
}

output "role_name" {
  description = "Name of the role."
  value       = aws_iam_role.this.name
}

# Further policies are attached after the one for the logs, so that no update leaves the role without it.
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
  description = "Tags of the function: `tags` and the tag `lambda-llm` with `mark`."
  value       = merge(var.tags, { "lambda-llm" = var.mark })
}
