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

# The package is checked here because every function takes this output, whoever made its role and its log group.
output "source_code_hash" {
  description = "SHA-256 of the zip in base64: `package.code_sha256`, or the one in its manifest."
  value       = try(coalesce(var.package.code_sha256, local.manifest.code_sha256), null)

  precondition {
    condition     = local.manifest != null
    error_message = "The manifest of the package can't be read: keep it next to the zip, where `make package` writes it (NAME.manifest.json for NAME.zip), or set package.manifest to its path, which a package in S3 always needs."
  }

  precondition {
    condition     = local.manifest == null || try(local.manifest.function == var.function, false)
    error_message = "The package is not the one of the function \"${var.function}\": its manifest names ${try("the function \"${local.manifest.function}\"", "no function, as manifests of older versions")}. Deploy lambda-llm-${var.function}-arm64.zip, which `make package` builds."
  }

  precondition {
    condition     = local.manifest == null || try(local.manifest.architecture == "arm64", false)
    error_message = "The package was built for ${try(local.manifest.architecture, "an unknown architecture")}, and this function runs on arm64: build it with `make package`."
  }

  precondition {
    condition     = local.manifest == null || try(local.manifest.runtime == "python3.13", false)
    error_message = "The package was built for ${try(local.manifest.runtime, "an unknown runtime")}, and this function runs on python3.13: build it with `make package` of this version of lambda-llm."
  }

  precondition {
    condition     = local.manifest == null || !try(fileexists(var.package.path), false) || try(filebase64sha256(var.package.path) == local.manifest.code_sha256, false)
    error_message = "The SHA-256 of the zip differs from the one in its manifest: run `make package` again, and deploy the zip and the manifest of the same build."
  }

  precondition {
    condition     = local.manifest == null || var.package.path == null || try(local.manifest.zip_bytes <= 50 * 1024 * 1024, false)
    error_message = "The zip is larger than the 50 MB that Lambda accepts in a direct upload: upload it to S3 and set package.s3."
  }

  precondition {
    condition     = local.manifest == null || try(local.manifest.unzipped_bytes <= 250 * 1024 * 1024, false)
    error_message = "The package has ${format("%.0f", try(local.manifest.unzipped_bytes, 0) / 1024 / 1024)} MB unzipped, and Lambda accepts at most 250 MB: build it with `make package`, which packs only what the function imports."
  }
}

output "handler" {
  description = "Handler of the function for Lambda's Python runtime."
  value       = try(local.manifest.handler, null)
}

output "agent" {
  description = "Module of the agent in a package of agents; null where there is none."
  value       = try(local.manifest.agent, null)
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
  value       = var.role != null ? var.role.arn : one(aws_iam_role.this[*].arn)
  depends_on  = [aws_iam_role_policy.logs]
}

output "role_name" {
  description = "Name of the role."
  value       = var.role != null ? var.role.name : one(aws_iam_role.this[*].name)
}

# Further policies are attached after the one for the logs, so that no update leaves the role without it.
output "role_id" {
  description = "Id of the role, for further policies; null for an existing role, whose policies are its owner's."
  value       = one(aws_iam_role.this[*].id)
  depends_on  = [aws_iam_role_policy.logs]
}

output "log_policy_json" {
  description = "Policy that the role needs to write its log, for an existing role."
  value       = data.aws_iam_policy_document.logs.json
}

output "log_group_name" {
  description = "Name of the log group."
  value       = local.log_group.name
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = trimsuffix(local.log_group.arn, ":*")
}

output "tags" {
  description = "Tags of the function: `tags`, `lambda-llm` with `mark`, and `lambda-llm:plane` and `lambda-llm:component` for bills."
  value       = merge(local.tags, { "lambda-llm" = var.mark })
}

output "log_level" {
  description = "Level of the function's log from which on lines are written."
  value       = var.log_level
}
