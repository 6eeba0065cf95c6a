# Services that may call an inference function, on behalf of everyone or of one resource.
resource "aws_lambda_function" "llm" {
  function_name = "llm"
  role          = "arn:aws:iam::123456789012:role/llm"
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_lambda_permission" "without" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
}

resource "aws_lambda_permission" "account_alone" {
  function_name  = aws_lambda_function.llm.function_name
  qualifier      = "live"
  action         = "lambda:InvokeFunction"
  principal      = "events.amazonaws.com"
  source_account = "123456789012"
}

resource "aws_lambda_permission" "any_rule" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = "arn:aws:events:us-east-1:123456789012:*"
}

resource "aws_lambda_permission" "bucket" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "s3.amazonaws.com"
  source_arn    = "arn:aws:s3:::my-uploads"
}

resource "aws_lambda_permission" "voice" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "alexa-appkit.amazon.com"
}

resource "aws_lambda_permission" "good_voice" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "alexa-appkit.amazon.com"

  event_source_token = "amzn1.ask.skill.1234"
}

resource "aws_lambda_permission" "good_rule" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = "arn:aws:events:us-east-1:123456789012:rule/nightly"
}

resource "aws_lambda_permission" "good_bucket" {
  function_name  = aws_lambda_function.llm.function_name
  qualifier      = "live"
  action         = "lambda:InvokeFunction"
  principal      = "s3.amazonaws.com"
  source_arn     = "arn:aws:s3:::my-uploads"
  source_account = "123456789012"
}

resource "aws_lambda_permission" "good_api" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.llm.execution_arn}/*/*"
}

resource "aws_lambda_permission" "good_reference" {
  function_name = aws_lambda_function.llm.function_name
  qualifier     = "live"
  action        = "lambda:InvokeFunction"
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.llm.arn
}

resource "aws_apigatewayv2_api" "llm" {
  name          = "llm"
  protocol_type = "HTTP"
}

resource "aws_sns_topic" "llm" {
  name = "llm"
}

# Names them all, so that this is about the rest alone.
resource "aws_lambda_function" "pruner" {
  function_name = "pruner"
  role          = "arn:aws:iam::123456789012:role/pruner"
  filename      = "pruner.zip"
  handler       = "pruner.handle"
  runtime       = "python3.13"

  environment {
    variables = { FUNCTION_NAMES = "llm" }
  }

  tags = { "lambda-llm" = "version-pruner", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" }
}
