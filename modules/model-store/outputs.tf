output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the bucket; null with S3's own encryption."
  value       = local.kms_key_arn
}

output "models" {
  description = "Model references by name, for the input `model` of the module inference."
  value = merge(
    { for name, model in local.uploaded : name => {
      bucket      = aws_s3_object.model[name].bucket
      key         = aws_s3_object.model[name].key
      version_id  = aws_s3_object.model[name].version_id
      size        = data.aws_s3_object.uploaded[name].content_length
      sha256      = aws_s3_object.model[name].source_hash
      crc64nvme   = data.aws_s3_object.uploaded[name].checksum_crc64nvme
      kms_key_arn = local.kms_key_arn
      memory      = model.memory
    } },
    { for name, model in local.pushed : name => {
      bucket      = aws_s3_bucket.this.id
      key         = model.key
      version_id  = model.version_id != null ? model.version_id : try(data.aws_s3_object.pushed[name].version_id, null)
      size        = model.size != null ? model.size : try(data.aws_s3_object.pushed[name].content_length, null)
      sha256      = model.sha256 != null ? model.sha256 : try(data.aws_s3_object.pushed[name].metadata["sha256"], null)
      crc64nvme   = try(data.aws_s3_object.pushed[name].checksum_crc64nvme, null)
      kms_key_arn = local.kms_key_arn
      memory      = model.memory
    } },
  )
}

output "sessions" {
  description = "Where to store KV caches of conversations, for the input `sessions` of the module inference."
  value = {
    bucket      = aws_s3_bucket.this.id
    prefix      = local.prefixes.sessions
    kms_key_arn = local.kms_key_arn
  }
}

output "state" {
  description = "Where to store state by reference: documents and tool results."
  value = {
    bucket      = aws_s3_bucket.this.id
    prefix      = local.prefixes.state
    kms_key_arn = local.kms_key_arn
  }
}
