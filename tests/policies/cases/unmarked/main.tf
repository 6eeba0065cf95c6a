# Somebody else's function: none of it is our business.
resource "aws_lambda_function" "web" {
  function_name = "web"
  role          = aws_iam_role.web.arn
  filename      = "web.zip"
  handler       = "web.handle"
  runtime       = "python3.12"

  environment {
    variables = { TABLE = "web" }
  }

  tags = { team = "lambda-llm" }
}

resource "aws_lambda_function_url" "web" {
  function_name      = aws_lambda_function.web.function_name
  authorization_type = "NONE"
}

resource "aws_lambda_permission" "web" {
  function_name = aws_lambda_function.web.function_name
  action        = "lambda:InvokeFunction"
  principal     = "*"
}

resource "aws_iam_role" "web" {
  name               = "web"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "web" {
  role   = aws_iam_role.web.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:*", Resource = "*" }] })
}
