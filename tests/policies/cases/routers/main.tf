# A router is asked by callers as an inference function is: who they are must be known.
resource "aws_lambda_function" "router" {
  function_name = "router"
  role          = "arn:aws:iam::123456789012:role/router"
  filename      = "router.zip"
  handler       = "lambda_llm.router.worker.handle"
  runtime       = "python3.13"
  memory_size   = 512

  tags = { "lambda-llm" = "router", "lambda-llm:plane" = "orchestration", "lambda-llm:component" = "router" }
}

resource "aws_lambda_function_url" "signed" {
  function_name      = aws_lambda_function.router.function_name
  qualifier          = "live"
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
}

resource "aws_lambda_function_url" "open" {
  function_name      = aws_lambda_function.router.function_name
  qualifier          = "next"
  authorization_type = "NONE"
  invoke_mode        = "RESPONSE_STREAM"
}

resource "aws_lambda_permission" "named" {
  statement_id  = "named"
  action        = "lambda:InvokeFunctionUrl"
  function_name = aws_lambda_function.router.function_name
  principal     = "123456789012"
}

resource "aws_lambda_permission" "anybody" {
  statement_id  = "anybody"
  action        = "lambda:InvokeFunctionUrl"
  function_name = aws_lambda_function.router.function_name
  principal     = "*"
}
