# What each tenant has spent and reserved. Only the router writes it: lambda_llm/router/ledger.py has the keys.

locals {
  table_arn  = var.budgets.table != null ? var.budgets.table.arn : one(aws_dynamodb_table.budgets[*].arn)
  table_name = var.budgets.table != null ? split("/", var.budgets.table.arn)[1] : one(aws_dynamodb_table.budgets[*].name)
}

resource "aws_dynamodb_table" "budgets" {
  #checkov:skip=CKV_AWS_119:DynamoDB encrypts every table; var.kms_key_arn sets a customer managed key.
  #checkov:skip=CKV2_AWS_16:It is billed by request, so there is no capacity to scale.
  count = var.budgets.table == null ? 1 : 0

  name                        = "${var.name}-budgets"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = var.budgets.deletion_protection
  tags                        = local.tags

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  # Windows that ended long ago, and reservations that nobody can settle any more.
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
