# The table of keys. `lambda-llm keys` writes it: Terraform and its state never see a key, nor its hash.

locals {
  own_table         = local.rest && var.keys_table == null
  table_arn         = var.keys_table != null ? var.keys_table.arn : one(aws_dynamodb_table.keys[*].arn)
  table_name        = var.keys_table != null ? element(split("/", var.keys_table.arn), 1) : one(aws_dynamodb_table.keys[*].name)
  table_kms_key_arn = var.keys_table != null ? var.keys_table.kms_key_arn : var.kms_key_arn
}

resource "aws_dynamodb_table" "keys" {
  #checkov:skip=CKV_AWS_119:DynamoDB encrypts every table; var.kms_key_arn sets a customer managed key.
  #checkov:skip=CKV2_AWS_16:It is billed by request, so there is no capacity to scale.
  count = local.own_table ? 1 : 0

  name                        = "${var.name}-keys"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "key_hash"
  deletion_protection_enabled = var.deletion_protection
  tags                        = local.tags

  attribute {
    name = "key_hash"
    type = "S"
  }

  # DynamoDB deletes what has expired within days; the authorizer refuses it at once.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = var.kms_key_arn != null
    kms_key_arn = var.kms_key_arn
  }
}
