# What a stack gets. Nothing is applied to an account; the local AWS does that in tests/.

mock_provider "aws" {
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_s3_object" {
    defaults = {
      content_length     = 770000000
      checksum_crc64nvme = "rosUhgp5mIg="
      metadata           = { sha256 = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c" }
    }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "my-models", arn = "arn:aws:s3:::my-models" }
  }
  mock_resource "aws_s3_object" {
    defaults = { version_id = "uploaded" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
}

run "an_empty_store" {
  assert {
    condition     = aws_s3_bucket.this.bucket_prefix == "lambda-llm-" && !aws_s3_bucket.this.force_destroy
    error_message = "The bucket is not named after the project, or is easily lost."
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.ignore_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "The bucket could become public."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "Models could not be pinned."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "The bucket is not encrypted."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.tls_only.statement).effect == "Deny" && one(one(data.aws_iam_policy_document.tls_only.statement).condition).variable == "aws:SecureTransport"
    error_message = "The bucket answers without TLS."
  }

  assert {
    condition = jsonencode({ for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id => [
      rule.filter[0].prefix, try(rule.expiration[0].days, null), try(rule.noncurrent_version_expiration[0].noncurrent_days, null)
      ] if rule.id != "abandoned-uploads" }) == jsonencode({
      replaced-models = ["models/", null, 90]
      state           = ["state/", 30, 1]
      sessions        = ["sessions/", 1, 1]
    })
    error_message = "Something is kept for another time than it should be."
  }

  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0 && length(aws_kms_key.this) == 0 && output.kms_key_arn == null && length(output.models) == 0
    error_message = "Something was made that nobody asked for."
  }

  assert {
    condition     = jsonencode(output.sessions) == jsonencode({ bucket = "my-models", prefix = "sessions/", kms_key_arn = null }) && output.state.prefix == "state/"
    error_message = "The places for sessions and state are wrong."
  }
}

run "a_file_is_uploaded" {
  variables {
    models = { small = { file = "tests/fixtures/model.gguf" } }
  }

  assert {
    condition     = aws_s3_object.model["small"].key == "models/model.gguf" && aws_s3_object.model["small"].checksum_algorithm == "CRC64NVME"
    error_message = "The file is not where it should be, or can't be verified."
  }

  assert {
    condition = jsonencode(output.models["small"]) == jsonencode({
      bucket      = "my-models"
      key         = "models/model.gguf"
      version_id  = "uploaded"
      size        = 770000000
      sha256      = filesha256("tests/fixtures/model.gguf")
      crc64nvme   = "rosUhgp5mIg="
      kms_key_arn = null
      memory      = null
    })
    error_message = "The reference does not describe the file."
  }
}

run "a_pushed_object_is_looked_up" {
  override_data {
    target = data.aws_s3_object.pushed
    values = {
      version_id         = "newest"
      content_length     = 770000000
      checksum_crc64nvme = "rosUhgp5mIg="
      metadata           = { sha256 = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c" }
    }
  }

  variables {
    name           = "my-models"
    create_kms_key = true
    models         = { llama = { key = "models/llama.gguf" } }
  }

  assert {
    condition = jsonencode(output.models["llama"]) == jsonencode({
      bucket      = "my-models"
      key         = "models/llama.gguf"
      version_id  = "newest"
      size        = 770000000
      sha256      = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
      crc64nvme   = "rosUhgp5mIg="
      kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
      memory      = null
    })
    error_message = "The reference does not describe the object."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == output.kms_key_arn && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "The bucket is not encrypted with the key that was created."
  }
}

run "what_is_given_is_not_looked_up" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    access_log  = { bucket = "our-logs" }
    models = { llama = {
      key        = "models/llama.gguf"
      version_id = "given"
      size       = 1000
      sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    } }
  }

  assert {
    condition     = length(data.aws_s3_object.pushed) == 0 && output.models["llama"].version_id == "given" && output.models["llama"].size == 1000 && output.models["llama"].kms_key_arn == var.kms_key_arn
    error_message = "S3 was asked for what was given, or another object is meant."
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "our-logs" && aws_s3_bucket_logging.this[0].target_prefix == "s3-access/"
    error_message = "Access is not logged."
  }
}
