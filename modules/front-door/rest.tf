# The REST API. It is one OpenAPI document: provider 5.100 has no argument for `responseTransferMode`, and passes the
# document on as it is.

locals {
  stage = "live"

  # With InvokeWithResponseStream the function's output is a JSON prelude, eight zero bytes and the body, which API Gateway
  # sends on as it arrives, for at most 15 minutes.
  # https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html
  invocation = var.streaming ? "2021-11-15/functions/${var.function.alias_arn}/response-streaming-invocations" : "2015-03-31/functions/${var.function.alias_arn}/invocations"
  timeout    = coalesce(var.timeout, var.streaming ? 900 : 29)
  apigateway = "arn:${local.partition}:apigateway:${local.region}:lambda:path"

  openapi = {
    openapi = "3.0.1"
    info    = { title = var.name, version = "1" }

    # Every path and method, `/health` too, has the authorizer, and needs the API key that it names.
    paths = {
      "/{proxy+}" = {
        "x-amazon-apigateway-any-method" = {
          parameters = [{ name = "proxy", in = "path", required = true, schema = { type = "string" } }]
          security   = [{ caller = [] }, { plan = [] }]

          "x-amazon-apigateway-integration" = {
            type                 = "aws_proxy"
            httpMethod           = "POST"
            uri                  = "${local.apigateway}/${local.invocation}"
            passthroughBehavior  = "when_no_match"
            responseTransferMode = var.streaming ? "STREAM" : "BUFFERED"
            timeoutInMillis      = local.timeout * 1000
          }
        }
      }
    }

    components = {
      securitySchemes = {
        caller = {
          type = "apiKey"
          name = "Authorization"
          in   = "header"

          "x-amazon-apigateway-authtype" = "custom"
          "x-amazon-apigateway-authorizer" = {
            type                         = "request"
            identitySource               = "method.request.header.Authorization"
            authorizerUri                = "${local.apigateway}/2015-03-31/functions/${join("", aws_lambda_function.authorizer[*].arn)}/invocations"
            authorizerResultTtlInSeconds = local.authorizer_ttl
          }
        }

        # API Gateway reads it as "needs an API key"; which one, the authorizer says (`usageIdentifierKey`).
        plan = { type = "apiKey", name = "x-api-key", in = "header" }
      }
    }

    "x-amazon-apigateway-api-key-source"    = "AUTHORIZER"
    "x-amazon-apigateway-gateway-responses" = local.gateway_responses
  }
}

resource "aws_api_gateway_rest_api" "this" {
  count = local.rest ? 1 : 0

  name                         = var.name
  description                  = "Front door of ${local.function_arn}"
  body                         = jsonencode(local.openapi)
  api_key_source               = "AUTHORIZER"
  disable_execute_api_endpoint = var.domain != null
  tags                         = local.tags

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_deployment" "this" {
  count = local.rest ? 1 : 0

  rest_api_id = aws_api_gateway_rest_api.this[0].id

  triggers = {
    body = sha256(aws_api_gateway_rest_api.this[0].body)
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "this" {
  #checkov:skip=CKV_AWS_73:A trace of each request costs; var.xray_tracing turns it on.
  #checkov:skip=CKV_AWS_120:Answers of a model are not to be cached, and streams can't be.
  #checkov:skip=CKV2_AWS_29:The caller chooses a web ACL: var.web_acl.
  #checkov:skip=CKV2_AWS_77:Nothing behind it runs on Java; the web ACL is the caller's: var.web_acl.
  #checkov:skip=CKV2_AWS_51:Callers are known by keys and JWTs, not by certificates.
  #checkov:skip=CKV2_AWS_4:Execution logs would have prompts and answers in them; the access log has what is needed.
  #checkov:skip=CKV_AWS_76:On by default: var.access_logs.
  count = local.rest ? 1 : 0

  rest_api_id          = aws_api_gateway_rest_api.this[0].id
  deployment_id        = aws_api_gateway_deployment.this[0].id
  stage_name           = local.stage
  description          = "The one that serves"
  xray_tracing_enabled = var.xray_tracing
  tags                 = local.tags

  dynamic "access_log_settings" {
    for_each = var.access_logs ? [aws_cloudwatch_log_group.access[0].arn] : []

    content {
      destination_arn = access_log_settings.value
      format          = jsonencode(local.access_log)
    }
  }

  # API Gateway takes a log group only once the account has a role for it.
  depends_on = [aws_api_gateway_account.this]
}

resource "aws_api_gateway_method_settings" "this" {
  #checkov:skip=CKV_AWS_225:Answers of a model are not to be cached, and streams can't be.
  #checkov:skip=CKV2_AWS_4:Execution logs would have prompts and answers in them; the access log has what is needed.
  count = local.rest ? 1 : 0

  rest_api_id = aws_api_gateway_rest_api.this[0].id
  stage_name  = aws_api_gateway_stage.this[0].stage_name
  method_path = "*/*"

  settings {
    logging_level          = "OFF"
    data_trace_enabled     = false
    metrics_enabled        = true
    throttling_rate_limit  = var.throttle.requests_per_second
    throttling_burst_limit = var.throttle.burst
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count = local.rest && var.web_acl != null ? 1 : 0

  resource_arn = aws_api_gateway_stage.this[0].arn
  web_acl_arn  = var.web_acl.arn
}
