# The access log: a line for each request, without its headers, its query or its body.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html

locals {
  access_log = {
    request_id          = "$context.requestId"
    time                = "$context.requestTimeEpoch"
    ip                  = "$context.identity.sourceIp"
    user_agent          = "$context.identity.userAgent"
    method              = "$context.httpMethod"
    path                = "$context.path"
    status              = "$context.status"
    latency_ms          = "$context.responseLatency"
    integration_ms      = "$context.integrationLatency"
    response_bytes      = "$context.responseLength"
    refused             = "$context.error.responseType"
    authorizer_error    = "$context.authorizer.error"
    integration_error   = "$context.integration.error"
    waf                 = "$context.waf.status"
    tenant              = "$context.authorizer.tenant"
    key_id              = "$context.authorizer.key_id"
    plan                = "$context.authorizer.plan"
    extended_request_id = "$context.extendedRequestId"
  }
}

resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; var.log_kms_key_arn sets a customer managed key.
  count = local.rest && var.access_logs ? 1 : 0

  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags
}

data "aws_iam_policy_document" "account" {
  count = local.rest && var.account_log_role ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["apigateway.amazonaws.com"]
    }

    # Confused deputy: only APIs of this account may use the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "account" {
  count = local.rest && var.account_log_role ? 1 : 0

  name_prefix          = "${substr(var.name, 0, 37)}-"
  path                 = var.path
  description          = "May write the access logs of this account's REST APIs"
  assume_role_policy   = data.aws_iam_policy_document.account[0].json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy_attachment" "account" {
  count = local.rest && var.account_log_role ? 1 : 0

  role       = aws_iam_role.account[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

# One for the whole account in this region.
resource "aws_api_gateway_account" "this" {
  count = local.rest && var.account_log_role ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.account[0].arn

  depends_on = [aws_iam_role_policy_attachment.account]
}
