# Facts that are unknown at plan time. A failed check is a warning and blocks nothing.

# Only an invocation can verify it: Lambda reports SnapStart's state for published versions only, and no resource or
# data source of the AWS provider reads it there. The function refuses to serve unless SnapStart initialized it, so a
# response proves it.
check "snap_start" {
  data "aws_lambda_invocation" "health" {
    function_name = aws_lambda_function.this.function_name
    qualifier     = aws_lambda_function.this.version

    input = jsonencode({
      version        = "2.0"
      routeKey       = "$default"
      rawPath        = "/health"
      rawQueryString = ""
      headers        = { accept = "application/json", host = "localhost" }
      requestContext = {
        http       = { method = "GET", path = "/health", protocol = "HTTP/1.1", sourceIp = "127.0.0.1", userAgent = "terraform" }
        domainName = "localhost"
        requestId  = "terraform"
        routeKey   = "$default"
        stage      = "$default"
        timeEpoch  = 0
      }
      isBase64Encoded = false
    })
  }

  assert {
    # Behind the web adapter the response is a JSON prelude, eight zero bytes and the body.
    condition     = can(regex("\"statusCode\" *: *200", data.aws_lambda_invocation.health.result))
    error_message = "The newest version did not respond to /health with status 200, as it does once SnapStart has initialized it: if it was just published, run `terraform plan` again in a few minutes; if the warning remains, read the log group."
  }
}

check "weights_are_repacked" {
  assert {
    condition     = lookup(var.environment, "LAMBDA_LLM_WEIGHTS", "auto") == "mapped" || var.model.size * 2 + local.process_bytes <= local.memory_bytes
    error_message = "The model is too large for two copies in memory during loading, so llama.cpp can't repack its weights, and prefill and decode are slower: use a smaller quantization, or accept this with environment = { LAMBDA_LLM_WEIGHTS = \"mapped\" }."
  }
}
