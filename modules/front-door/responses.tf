# What API Gateway answers by itself, in the form of OpenAI's errors, so that clients raise the exception that they have
# for it: 401 AuthenticationError, 403 PermissionDeniedError, 404 NotFoundError, 429 RateLimitError.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
# https://platform.openai.com/docs/guides/error-codes

locals {
  # In a template `$context.error.messageString` is API Gateway's own sentence, in quotation marks.
  own_sentence = "$context.error.messageString"

  refusals = {
    UNAUTHORIZED = {
      status  = "401", type = "invalid_request_error", code = "invalid_api_key"
      message = "The key or token is unknown, revoked or expired: send one that is valid as `Authorization: Bearer …`."
    }
    ACCESS_DENIED = {
      status  = "403", type = "invalid_request_error", code = "access_denied"
      message = "The key or token is valid, but not for this: ask whoever gave it to you for the right to use it."
    }
    INVALID_API_KEY = {
      status  = "403", type = "invalid_request_error", code = "no_plan"
      message = "The key or token is valid, but its tenant is in no usage plan of this API: ask whoever runs it to add the tenant to the plan."
    }
    THROTTLED = {
      status  = "429", type = "rate_limit_error", code = "rate_limit_exceeded"
      message = "Too many requests at once for this API or for the usage plan of this key: wait a moment and try again."
      headers = { "gatewayresponse.header.retry-after" = "'1'" }
    }
    QUOTA_EXCEEDED = {
      status  = "429", type = "insufficient_quota", code = "insufficient_quota"
      message = "The quota of this key's usage plan is used up: wait for its next period, or ask whoever runs this API for a larger one."
      # So that OpenAI's clients don't try again by themselves.
      headers = { "gatewayresponse.header.x-should-retry" = "'false'" }
    }
    MISSING_AUTHENTICATION_TOKEN = {
      status  = "404", type = "invalid_request_error", code = "unknown_url"
      message = "There is nothing at this address: the base URL ends in /v1."
    }
    RESOURCE_NOT_FOUND = {
      status  = "404", type = "invalid_request_error", code = "unknown_url"
      message = "There is nothing at this address: the base URL ends in /v1."
    }
    REQUEST_TOO_LARGE = {
      status  = "413", type = "invalid_request_error", code = "request_too_large"
      message = "The request is larger than API Gateway and Lambda accept: shorten it to less than 6 MB."
    }
    WAF_FILTERED = {
      status  = "403", type = "invalid_request_error", code = "blocked"
      message = "The web application firewall of this API has blocked the request: ask whoever runs it why."
    }
    AUTHORIZER_FAILURE = {
      status  = "500", type = "server_error", code = "authorizer_failed"
      message = "The key or token could not be checked: try again; if it stays, whoever runs this API finds the reason in the authorizer's log."
    }
    AUTHORIZER_CONFIGURATION_ERROR = {
      status  = "500", type = "server_error", code = "authorizer_failed"
      message = "The key or token could not be checked: try again; if it stays, whoever runs this API finds the reason in the authorizer's log."
    }
    INTEGRATION_TIMEOUT = {
      status  = "504", type = "server_error", code = "timeout"
      message = "The model did not answer in time: ask for fewer tokens, or stream the answer."
    }
    INTEGRATION_FAILURE = {
      status  = "504", type = "server_error", code = "unavailable"
      message = "The model could not be reached: try again."
    }
  }

  # Whatever else there is keeps API Gateway's status and sentence.
  gateway_responses = merge(
    {
      for kind, refusal in local.refusals : kind => {
        statusCode         = refusal.status
        responseParameters = lookup(refusal, "headers", {})
        responseTemplates = {
          "application/json" = jsonencode({ error = { message = refusal.message, type = refusal.type, param = null, code = refusal.code } })
        }
      }
    },
    {
      for kind, type in { DEFAULT_4XX = "invalid_request_error", DEFAULT_5XX = "server_error" } : kind => {
        responseParameters            = {}
        responseTemplates = {
          "application/json" = "{\"error\":{\"code\":null,\"message\":${local.own_sentence},\"param\":null,\"type\":\"${type}\"}}"
        }
      }
    },
  )
}
