variable "function_name" {
  type = string
}

variable "qualifier" {
  type = string
}

resource "aws_lambda_function_url" "this" {
  function_name      = var.function_name
  qualifier          = var.qualifier
  authorization_type = "NONE"
  invoke_mode        = "RESPONSE_STREAM"
}

resource "aws_lambda_permission" "this" {
  function_name = "arn:aws:lambda:us-east-1:123456789012:function:${var.function_name}:live"
  action        = "lambda:InvokeFunction"
  principal     = "*"
}

resource "aws_lambda_provisioned_concurrency_config" "this" {
  function_name                     = var.function_name
  qualifier                         = var.qualifier
  provisioned_concurrent_executions = 1
}
