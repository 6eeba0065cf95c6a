# What the answer of a function says about it.

mock_provider "aws" {
  mock_data "aws_lambda_invocation" {
    defaults = { result = "{\"statusCode\":200,\"body\":\"{}\"}" }
  }
}

variables {
  function_name = "chat"
  qualifier     = "7"
}

run "a_version_that_snap_start_initialized" {
  assert {
    condition     = var.qualifier == "7"
    error_message = "Another version is asked."
  }
}

run "a_version_behind_the_web_adapter" {
  override_data {
    target = data.aws_lambda_invocation.health
    values = { result = "{\"statusCode\": 200,\"headers\":{}}\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000{\"status\":\"ok\"}" }
  }
}

run "a_version_that_snap_start_did_not_start_is_told" {
  override_data {
    target = data.aws_lambda_invocation.health
    values = { result = "{\"errorMessage\": \"This Lambda function can't serve a model\"}" }
  }

  expect_failures = [check.snap_start]
}
