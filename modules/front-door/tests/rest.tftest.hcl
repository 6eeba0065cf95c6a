# What a stack with a REST API gets. Nothing is applied to an account; the local AWS does that in tests/.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:llm-authorizer" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/llm-1" }
  }
  mock_resource "aws_api_gateway_rest_api" {
    defaults = { id = "abc123", execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:abc123" }
  }
  mock_resource "aws_api_gateway_stage" {
    defaults = { arn = "arn:aws:apigateway:eu-central-1::/restapis/abc123/stages/live", invoke_url = "https://abc123.execute-api.eu-central-1.amazonaws.com/live" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/llm-keys" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/apigateway/llm" }
  }
  mock_resource "aws_api_gateway_domain_name" {
    defaults = { regional_domain_name = "d-1.execute-api.eu-central-1.amazonaws.com", regional_zone_id = "Z1U9ULNL0V5AJ3" }
  }
}

variables {
  name     = "llm"
  function = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live" }
  package  = { path = "tests/fixtures/function.zip" }
}

run "nobody_gets_in_by_default" {
  assert {
    condition     = length(aws_api_gateway_usage_plan.this) + length(aws_api_gateway_api_key.tenant) + length(aws_api_gateway_usage_plan_key.tenant) == 0
    error_message = "Someone gets in without a plan."
  }

  # The whole document, so that nothing opens a way beside it.
  assert {
    condition = jsonencode(merge(jsondecode(aws_api_gateway_rest_api.this[0].body), { "x-amazon-apigateway-gateway-responses" = null })) == jsonencode({
      openapi = "3.0.1"
      info    = { title = "llm", version = "1" }
      paths = { "/{proxy+}" = { "x-amazon-apigateway-any-method" = {
        parameters = [{ name = "proxy", in = "path", required = true, schema = { type = "string" } }]
        security   = [{ caller = [] }, { plan = [] }]
        "x-amazon-apigateway-integration" = {
          type                 = "aws_proxy"
          httpMethod           = "POST"
          uri                  = "arn:aws:apigateway:eu-central-1:lambda:path/2021-11-15/functions/arn:aws:lambda:eu-central-1:123456789012:function:chat:live/response-streaming-invocations"
          passthroughBehavior  = "when_no_match"
          responseTransferMode = "STREAM"
          timeoutInMillis      = 900000
        }
      } } }
      components = { securitySchemes = {
        caller = {
          type                           = "apiKey"
          name                           = "Authorization"
          in                             = "header"
          "x-amazon-apigateway-authtype" = "custom"
          "x-amazon-apigateway-authorizer" = {
            type                         = "request"
            identitySource               = "method.request.header.Authorization"
            authorizerUri                = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:llm-authorizer/invocations"
            authorizerResultTtlInSeconds = 30
          }
        }
        plan = { type = "apiKey", name = "x-api-key", in = "header" }
      } }
      "x-amazon-apigateway-api-key-source"    = "AUTHORIZER"
      "x-amazon-apigateway-gateway-responses" = null
    })
    error_message = "The OpenAPI document is another one."
  }

  assert {
    condition     = aws_api_gateway_rest_api.this[0].api_key_source == "AUTHORIZER" && aws_api_gateway_rest_api.this[0].disable_execute_api_endpoint == false
    error_message = "Callers could name an API key themselves, or there is no address."
  }

  assert {
    condition     = aws_api_gateway_deployment.this[0].triggers["body"] == sha256(aws_api_gateway_rest_api.this[0].body)
    error_message = "A changed document is not deployed."
  }

  assert {
    condition     = aws_lambda_permission.rest[0].function_name == "arn:aws:lambda:eu-central-1:123456789012:function:chat" && aws_lambda_permission.rest[0].qualifier == "live" && aws_lambda_permission.rest[0].source_arn == "arn:aws:execute-api:eu-central-1:123456789012:abc123/live/*"
    error_message = "Another API may invoke the function, or another version of it is invoked."
  }

  assert {
    condition     = aws_lambda_permission.authorizer[0].source_arn == "arn:aws:execute-api:eu-central-1:123456789012:abc123/authorizers/*"
    error_message = "Another API may invoke the authorizer."
  }

  assert {
    condition     = aws_lambda_function.authorizer[0].environment[0].variables == tomap({ LAMBDA_LLM_AUTHORIZER_TABLE = "llm-keys" }) && aws_lambda_function.authorizer[0].architectures == tolist(["arm64"]) && aws_lambda_function.authorizer[0].tags["lambda-llm"] == "authorizer"
    error_message = "The authorizer is told something else than its table."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.authorizer[0].statement : [statement.actions, statement.resources]]) == jsonencode([
      [["dynamodb:GetItem"], ["arn:aws:dynamodb:eu-central-1:123456789012:table/llm-keys"]],
    ])
    error_message = "The authorizer may do something else than look one key up."
  }

  assert {
    condition     = aws_dynamodb_table.keys[0].hash_key == "key_hash" && aws_dynamodb_table.keys[0].ttl[0].attribute_name == "expires_at" && aws_dynamodb_table.keys[0].deletion_protection_enabled && aws_dynamodb_table.keys[0].point_in_time_recovery[0].enabled && aws_dynamodb_table.keys[0].billing_mode == "PAY_PER_REQUEST"
    error_message = "The table of keys is another one."
  }

  assert {
    condition     = one(aws_api_gateway_method_settings.this[0].settings).logging_level == "OFF" && one(aws_api_gateway_method_settings.this[0].settings).data_trace_enabled == false && one(aws_api_gateway_method_settings.this[0].settings).throttling_rate_limit == 20 && one(aws_api_gateway_method_settings.this[0].settings).throttling_burst_limit == 40
    error_message = "Prompts are logged, or the API is not throttled."
  }

  assert {
    condition     = length(regexall("authorizer\\.(tenant|key_id|plan)\"", one(aws_api_gateway_stage.this[0].access_log_settings).format)) == 3 && length(regexall("header|body|Authorization|querystring", one(aws_api_gateway_stage.this[0].access_log_settings).format)) == 0
    error_message = "The access log has too little or too much in it."
  }

  assert {
    condition     = output.base_url == "https://abc123.execute-api.eu-central-1.amazonaws.com/live/v1" && output.table_name == "llm-keys" && output.authorizer_function_name == "llm-authorizer" && output.distribution_id == null && output.domain_target == null
    error_message = "The outputs name something else."
  }

  assert {
    condition     = length(aws_api_gateway_account.this) + length(aws_wafv2_web_acl_association.this) + length(aws_api_gateway_domain_name.this) + length(aws_cloudfront_distribution.this) == 0
    error_message = "There is more than was asked for."
  }
}

run "refusals_have_the_form_of_openai_s_errors" {
  assert {
    condition = alltrue([
      for kind, response in jsondecode(aws_api_gateway_rest_api.this[0].body)["x-amazon-apigateway-gateway-responses"] : toset(keys(jsondecode(replace(response.responseTemplates["application/json"], "$context.error.messageString", "\"x\"")).error)) == toset(["code", "message", "param", "type"])
    ])
    error_message = "A client could not read a refusal."
  }

  assert {
    condition = {
      for kind, response in jsondecode(aws_api_gateway_rest_api.this[0].body)["x-amazon-apigateway-gateway-responses"] : kind => "${lookup(response, "statusCode", "")} ${coalesce(jsondecode(replace(response.responseTemplates["application/json"], "$context.error.messageString", "\"x\"")).error.code, "-")}"
      } == {
      UNAUTHORIZED                   = "401 invalid_api_key"
      ACCESS_DENIED                  = "403 access_denied"
      INVALID_API_KEY                = "403 no_plan"
      THROTTLED                      = "429 rate_limit_exceeded"
      QUOTA_EXCEEDED                 = "429 insufficient_quota"
      MISSING_AUTHENTICATION_TOKEN   = "404 unknown_url"
      RESOURCE_NOT_FOUND             = "404 unknown_url"
      REQUEST_TOO_LARGE              = "413 request_too_large"
      WAF_FILTERED                   = "403 blocked"
      AUTHORIZER_FAILURE             = "500 authorizer_failed"
      AUTHORIZER_CONFIGURATION_ERROR = "500 authorizer_failed"
      INTEGRATION_TIMEOUT            = "504 timeout"
      INTEGRATION_FAILURE            = "504 unavailable"
      DEFAULT_4XX                    = " -"
      DEFAULT_5XX                    = " -"
    }
    error_message = "A refusal has another status or code."
  }
}

run "tenants_have_plans" {
  variables {
    plans = {
      free = { requests_per_second = 0.5, burst = 1, quota = { requests = 100 }, tenants = ["acme", "globex"] }
      paid = { requests_per_second = 10, burst = 20, tenants = ["acme"] }
    }
  }

  assert {
    condition = jsonencode({ for plan, made in aws_api_gateway_usage_plan.this : plan => [one(made.throttle_settings).rate_limit, one(made.throttle_settings).burst_limit, [for quota in made.quota_settings : "${quota.limit} ${quota.period}"], one(made.api_stages).stage] }) == jsonencode({
      free = [0.5, 1, ["100 DAY"], "live"]
      paid = [10, 20, [], "live"]
    })
    error_message = "A plan has other limits."
  }

  # As the authorizer forms it.
  assert {
    condition     = { for key, made in aws_api_gateway_api_key.tenant : key => nonsensitive(made.value) } == { for key in ["free/acme", "free/globex", "paid/acme"] : key => "lambda-llm-${substr(sha256("abc123/${key}"), 0, 40)}" }
    error_message = "The authorizer would name another API key."
  }

  assert {
    condition     = keys(aws_api_gateway_usage_plan_key.tenant) == ["free/acme", "free/globex", "paid/acme"]
    error_message = "A tenant is in another plan."
  }
}

run "buffered" {
  variables {
    streaming = false
  }

  assert {
    condition     = jsondecode(aws_api_gateway_rest_api.this[0].body).paths["/{proxy+}"]["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"].uri == "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:chat:live/invocations"
    error_message = "A buffered function is invoked as if it streamed."
  }

  assert {
    condition     = jsondecode(aws_api_gateway_rest_api.this[0].body).paths["/{proxy+}"]["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"].responseTransferMode == "BUFFERED" && jsondecode(aws_api_gateway_rest_api.this[0].body).paths["/{proxy+}"]["x-amazon-apigateway-any-method"]["x-amazon-apigateway-integration"].timeoutInMillis == 29000
    error_message = "A buffered answer is waited for longer than API Gateway allows."
  }
}

run "with_jwts" {
  variables {
    package = { path = "tests/fixtures/function-jwt.zip" }
    plans   = { paid = { requests_per_second = 10, burst = 20, tenants = ["acme"] } }
    jwt     = { issuer = "https://issuer.example.com/", audience = "llm", tenant_claim = "org", plan = "paid" }
  }

  assert {
    condition = aws_lambda_function.authorizer[0].environment[0].variables == tomap({
      LAMBDA_LLM_AUTHORIZER_TABLE        = "llm-keys"
      LAMBDA_LLM_AUTHORIZER_ISSUER       = "https://issuer.example.com/"
      LAMBDA_LLM_AUTHORIZER_AUDIENCE     = "llm"
      LAMBDA_LLM_AUTHORIZER_TENANT_CLAIM = "org"
      LAMBDA_LLM_AUTHORIZER_PLAN         = "paid"
    })
    error_message = "The authorizer is told something else of the issuer."
  }

  assert {
    condition     = aws_lambda_function.authorizer[0].handler == "lambda_llm.authorizer.jwt_handler.handle"
    error_message = "The authorizer is the one for keys alone."
  }
}

run "with_everything" {
  variables {
    keys_table       = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/shared-keys", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd" }
    web_acl          = { arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/llm/1234abcd" }
    domain           = { name = "llm.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", zone = { id = "Z123" } }
    account_log_role = true
    xray_tracing     = true
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.authorizer[0].statement : [statement.actions, statement.resources, [for condition in statement.condition : [condition.variable, condition.values]]]]) == jsonencode([
      [["dynamodb:GetItem"], ["arn:aws:dynamodb:eu-central-1:123456789012:table/shared-keys"], []],
      [["kms:Decrypt"], ["arn:aws:kms:eu-central-1:123456789012:key/1234abcd"], [["kms:ViaService", ["dynamodb.eu-central-1.amazonaws.com"]]]],
    ])
    error_message = "The authorizer may do something else than look one key up."
  }

  assert {
    condition     = length(aws_dynamodb_table.keys) == 0 && aws_lambda_function.authorizer[0].environment[0].variables["LAMBDA_LLM_AUTHORIZER_TABLE"] == "shared-keys" && output.table_name == "shared-keys"
    error_message = "It is another table."
  }

  assert {
    condition     = aws_wafv2_web_acl_association.this[0].resource_arn == "arn:aws:apigateway:eu-central-1::/restapis/abc123/stages/live"
    error_message = "The web ACL protects something else."
  }

  assert {
    condition     = aws_api_gateway_rest_api.this[0].disable_execute_api_endpoint && aws_api_gateway_domain_name.this[0].security_policy == "TLS_1_2" && aws_api_gateway_base_path_mapping.this[0].stage_name == "live" && aws_route53_record.this["A"].name == "llm.example.com" && one(aws_route53_record.this["A"].alias).zone_id == "Z1U9ULNL0V5AJ3"
    error_message = "There is a second address, or the first leads elsewhere."
  }

  assert {
    condition     = output.base_url == "https://llm.example.com/v1" && aws_api_gateway_account.this[0].cloudwatch_role_arn == "arn:aws:iam::123456789012:role/llm-1" && aws_api_gateway_stage.this[0].xray_tracing_enabled
    error_message = "Clients are told another address, or the logs have no role."
  }
}

run "without_access_logs" {
  variables {
    access_logs = false
  }

  assert {
    condition     = length(aws_cloudwatch_log_group.access) == 0 && length(aws_api_gateway_stage.this[0].access_log_settings) == 0 && output.access_log_group_name == null
    error_message = "There is an access log."
  }
}

run "with_a_key_of_one_s_own" {
  variables {
    kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
    deletion_protection  = false
    permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
    path                 = "/teams/search/"
    account_log_role     = true
  }

  assert {
    condition     = aws_dynamodb_table.keys[0].server_side_encryption[0].enabled && aws_dynamodb_table.keys[0].server_side_encryption[0].kms_key_arn == var.kms_key_arn && aws_dynamodb_table.keys[0].deletion_protection_enabled == false
    error_message = "The table is encrypted with another key, or protected."
  }

  assert {
    condition     = length(data.aws_iam_policy_document.authorizer[0].statement) == 2 && data.aws_iam_policy_document.authorizer[0].statement[1].resources == toset([var.kms_key_arn])
    error_message = "The authorizer can't decrypt the table."
  }

  assert {
    condition     = aws_iam_role.account[0].path == "/teams/search/" && aws_iam_role.account[0].permissions_boundary == var.permissions_boundary && one(data.aws_iam_policy_document.account[0].statement[0].condition).values == tolist(["123456789012"])
    error_message = "The account's role is not where, or not bounded as, it should be."
  }
}
