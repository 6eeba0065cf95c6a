# Whoever is given a model serves it, whatever the tag says; whoever is told an address only calls it.
resource "aws_lambda_function" "disguised" {
  function_name = "disguised"
  role          = "arn:aws:iam::123456789012:role/disguised"
  filename      = "disguised.zip"
  handler       = "disguised.handle"
  runtime       = "python3.12"

  environment {
    variables = { LAMBDA_LLM_MODEL = "s3://my-models/models/llama.gguf" }
  }

  tags = { "lambda-llm" = "router", "lambda-llm:plane" = "orchestration", "lambda-llm:component" = "router" }
}

resource "aws_lambda_function" "client" {
  function_name = "client"
  role          = "arn:aws:iam::123456789012:role/client"
  filename      = "client.zip"
  handler       = "client.handle"
  runtime       = "python3.12"

  environment {
    variables = { LAMBDA_LLM_URL = "https://llm.example.com", LAMBDA_LLM_URL_LARGE = "https://large.example.com" }
  }
}

resource "aws_lambda_function" "both" {
  function_name = "both"
  role          = "arn:aws:iam::123456789012:role/both"
  filename      = "both.zip"
  handler       = "both.handle"
  runtime       = "python3.12"

  environment {
    variables = { LAMBDA_LLM_URL = "https://llm.example.com", LAMBDA_LLM_CONTEXT = "4096" }
  }
}

resource "aws_lambda_function" "late" {
  function_name = "late"
  role          = "arn:aws:iam::123456789012:role/late"
  filename      = "late.zip"
  handler       = "late.handle"
  runtime       = "python3.12"

  environment {
    variables = { STAGE = "test", LAMBDA_LLM_MODEL = "s3://${aws_s3_bucket.models.id}/models/llama.gguf" }
  }

  tags = { "lambda-llm" = "batch", "lambda-llm:plane" = "orchestration", "lambda-llm:component" = "batch" }
}

resource "aws_s3_bucket" "models" {
  bucket_prefix = "models-"
}
