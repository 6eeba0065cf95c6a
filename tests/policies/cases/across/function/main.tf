variable "role_arn" {
  type = string
}

resource "aws_lambda_function" "this" {
  function_name = "llm-${aws_sqs_queue.suffix.id}"
  role          = var.role_arn
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

# Something that is known after apply.
resource "aws_sqs_queue" "suffix" {
}

output "name" {
  value = aws_lambda_function.this.function_name
}
