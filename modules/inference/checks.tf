# What no plan can know. A check warns and changes nothing.

# Only the invocation itself tells: Lambda reports SnapStart's state for published versions alone, and no resource or
# data source of the AWS provider reads it from there. The function refuses to serve unless it was started by
# SnapStart, so an answer is the proof.
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
    # Behind the web adapter the answer is a JSON prelude, eight zero bytes and the body.
    condition     = can(regex("\"statusCode\" *: *200", data.aws_lambda_invocation.health.result))
    error_message = "The newest version did not answer as one that SnapStart started. A version that was just published may still be initializing: run `terraform plan` again in some minutes, and look at the log group if it stays."
  }
}

check "weights_are_repacked" {
  assert {
    condition     = lookup(var.environment, "LAMBDA_LLM_WEIGHTS", "auto") == "mapped" || var.model.size * 2 + local.process_bytes <= local.memory_bytes
    error_message = "The model is too large to exist twice while it is loaded, so llama.cpp can't put its weights into the faster layout: it serves, but reads prompts more slowly. Use a smaller quantization, or say that this is meant with environment = { LAMBDA_LLM_WEIGHTS = \"mapped\" }."
  }
}
