# Only an invocation can verify it: Lambda reports SnapStart's state for published versions only, and no resource or
# data source of the AWS provider reads it there. The function refuses to serve unless SnapStart initialized it, so a
# response proves it.
#
# It is a module of its own because a check's data source depends on everything in its module: whoever refers to such a
# module as a whole (depends_on, for_each, an output of it all) has a cycle.

check "snap_start" {
  data "aws_lambda_invocation" "health" {
    function_name = var.function_name
    qualifier     = var.qualifier

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
    error_message = "Version ${var.qualifier} of ${var.function_name} did not respond to /health with status 200, as it does once SnapStart has initialized it: if it was just published, run `terraform plan` again in a few minutes; if the warning remains, read the log group."
  }
}
