variable "name" {
  type = string
}

module "base" {
  source = "../base"
}

resource "aws_iam_role_policy" "this" {
  role   = module.base.role_id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }] })
}

resource "aws_lambda_function" "this" {
  function_name = var.name
  role          = module.base.role_arn
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
