variable "name" {
  type = string
}

resource "aws_lambda_function" "this" {
  function_name = var.name
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

  tags = { "lambda-llm" = "inference" }
}

resource "aws_lambda_alias" "this" {
  name             = "live"
  function_name    = aws_lambda_function.this.arn
  function_version = aws_lambda_function.this.version
}

output "name" {
  value = aws_lambda_function.this.function_name
}

output "alias" {
  value = aws_lambda_alias.this.name
}
