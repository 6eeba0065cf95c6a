# The authorizer: a function of kilobytes that looks one key up in one table, or verifies a JWT.

locals {
  # A revoked key is refused within 60 s: this cache and what it takes to notice the change.
  authorizer_ttl = 30

  authorizer_function = var.jwt == null ? "authorizer" : "authorizer-jwt"

  # What lambda_llm.authorizer reads.
  authorizer_environment = merge(
    {
      LAMBDA_LLM_AUTHORIZER_TABLE = local.table_name
    },
    {
      for name, value in {
        LAMBDA_LLM_AUTHORIZER_ISSUER       = try(var.jwt.issuer, null)
        LAMBDA_LLM_AUTHORIZER_AUDIENCE     = try(var.jwt.audience, null)
        LAMBDA_LLM_AUTHORIZER_JWKS_URL     = try(var.jwt.jwks_url, null)
        LAMBDA_LLM_AUTHORIZER_TENANT_CLAIM = try(var.jwt.tenant_claim, null)
        LAMBDA_LLM_AUTHORIZER_PLAN_CLAIM   = try(var.jwt.plan_claim, null)
        LAMBDA_LLM_AUTHORIZER_PLAN         = try(var.jwt.plan, null)
      } : name => value if value != null
    },
  )
}

data "aws_iam_policy_document" "authorizer" {
  count = local.rest ? 1 : 0

  statement {
    sid       = "LookUpOneKey"
    actions   = ["dynamodb:GetItem"]
    resources = [local.table_arn]
  }

  dynamic "statement" {
    for_each = local.table_kms_key_arn == null ? [] : [local.table_kms_key_arn]

    content {
      sid       = "DecryptTable"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["dynamodb.${local.region}.amazonaws.com"]
      }
    }
  }
}

module "authorizer" {
  source = "../function"
  count  = local.rest ? 1 : 0

  name                 = "${var.name}-authorizer"
  function             = local.authorizer_function
  mark                 = "authorizer"
  package              = var.package
  role_description     = "May look up keys of the front door ${var.name}"
  path                 = var.path
  permissions_boundary = var.permissions_boundary
  log_retention_days   = var.log_retention_days
  log_level            = var.log_level
  log_kms_key_arn      = var.log_kms_key_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "authorizer" {
  count = local.rest ? 1 : 0

  name   = "authorizer"
  role   = module.authorizer[0].role_id
  policy = data.aws_iam_policy_document.authorizer[0].json
}

resource "aws_lambda_function" "authorizer" {
  #checkov:skip=CKV_AWS_50:It makes one call; a trace would add nothing.
  #checkov:skip=CKV_AWS_115:API Gateway throttles what starts it: var.throttle.
  #checkov:skip=CKV_AWS_116:Requests are synchronous; a dead letter queue would stay empty.
  #checkov:skip=CKV_AWS_117:It calls only DynamoDB, and the issuer of JWTs.
  #checkov:skip=CKV_AWS_173:The environment contains names, and no secret.
  #checkov:skip=CKV_AWS_272:The zip is pinned by the SHA-256 of its manifest; signing needs a profile in the account.
  count = local.rest ? 1 : 0

  function_name = "${var.name}-authorizer"
  description   = "Knows the callers of the front door ${var.name}"
  role          = module.authorizer[0].role_arn

  filename          = module.authorizer[0].filename
  s3_bucket         = module.authorizer[0].s3_bucket
  s3_key            = module.authorizer[0].s3_key
  s3_object_version = module.authorizer[0].s3_object_version
  source_code_hash  = module.authorizer[0].source_code_hash

  architectures = module.authorizer[0].architectures
  runtime       = module.authorizer[0].runtime
  handler       = module.authorizer[0].handler
  memory_size   = 512
  timeout       = 10

  environment {
    variables = local.authorizer_environment
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = module.authorizer[0].log_level
    log_group             = module.authorizer[0].log_group_name
  }

  tags = module.authorizer[0].tags

  depends_on = [aws_iam_role_policy.authorizer]
}

# API Gateway numbers authorizers when it reads the document, so the permission is for those of this API.
resource "aws_lambda_permission" "authorizer" {
  count = local.rest ? 1 : 0

  statement_id_prefix = "front-door-"
  action              = "lambda:InvokeFunction"
  function_name       = aws_lambda_function.authorizer[0].function_name
  principal           = "apigateway.amazonaws.com"
  source_arn          = "${aws_api_gateway_rest_api.this[0].execution_arn}/authorizers/*"
}
