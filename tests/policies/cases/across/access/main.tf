variable "function_name" {
  type = string
}

resource "aws_lambda_function_url" "this" {
  function_name      = var.function_name
  qualifier          = "live"
  authorization_type = "NONE"
  invoke_mode        = "RESPONSE_STREAM"
}
