# API Gateway in front of inference functions and of others, with and without an authorizer.
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

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.llm.function_name
  function_version = aws_lambda_function.llm.version
}

resource "aws_lambda_function" "web" {
  function_name = "web"
  role          = "arn:aws:iam::123456789012:role/web"
  filename      = "web.zip"
  handler       = "web.handle"
  runtime       = "python3.12"
}

resource "aws_apigatewayv2_api" "quick" {
  name          = "quick"
  protocol_type = "HTTP"
  target        = aws_lambda_alias.live.arn
}

resource "aws_apigatewayv2_api" "quick_web" {
  name          = "quick-web"
  protocol_type = "HTTP"
  target        = aws_lambda_function.web.arn
}

resource "aws_apigatewayv2_api" "llm" {
  name          = "llm"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "alias" {
  api_id           = aws_apigatewayv2_api.llm.id
  integration_type = "AWS_PROXY"
  integration_uri  = aws_lambda_alias.live.invoke_arn
}

resource "aws_apigatewayv2_integration" "text" {
  api_id           = aws_apigatewayv2_api.llm.id
  integration_type = "AWS_PROXY"
  integration_uri  = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/invocations"
}

resource "aws_apigatewayv2_integration" "web" {
  api_id           = aws_apigatewayv2_api.llm.id
  integration_type = "AWS_PROXY"
  integration_uri  = aws_lambda_function.web.invoke_arn
}

resource "aws_apigatewayv2_route" "open" {
  api_id    = aws_apigatewayv2_api.llm.id
  route_key = "POST /open"
  target    = "integrations/${aws_apigatewayv2_integration.alias.id}"
}

resource "aws_apigatewayv2_route" "none" {
  api_id    = aws_apigatewayv2_api.llm.id
  route_key = "POST /none"
  target    = "integrations/${aws_apigatewayv2_integration.text.id}"

  authorization_type = "NONE"
}

resource "aws_apigatewayv2_route" "half" {
  api_id    = aws_apigatewayv2_api.llm.id
  route_key = "POST /half"
  target    = "integrations/${aws_apigatewayv2_integration.alias.id}"

  authorization_type = "JWT"
}

resource "aws_apigatewayv2_route" "custom" {
  api_id    = aws_apigatewayv2_api.llm.id
  route_key = "POST /custom"
  target    = "integrations/${aws_apigatewayv2_integration.alias.id}"

  authorization_type = "CUSTOM"
  authorizer_id      = aws_apigatewayv2_authorizer.llm.id
}

resource "aws_apigatewayv2_route" "iam" {
  api_id    = aws_apigatewayv2_api.llm.id
  route_key = "POST /iam"
  target    = "integrations/${aws_apigatewayv2_integration.text.id}"

  authorization_type = "AWS_IAM"
}

resource "aws_apigatewayv2_route" "web" {
  api_id    = aws_apigatewayv2_api.llm.id
  route_key = "POST /web"
  target    = "integrations/${aws_apigatewayv2_integration.web.id}"
}

resource "aws_apigatewayv2_authorizer" "llm" {
  api_id          = aws_apigatewayv2_api.llm.id
  name            = "llm"
  authorizer_type = "JWT"

  jwt_configuration {
    audience = ["llm"]
    issuer   = "https://issuer.example.com"
  }
}

resource "aws_api_gateway_rest_api" "llm" {
  name = "llm"
}

resource "aws_api_gateway_rest_api" "described" {
  name = "described"
  body = jsonencode({
    openapi = "3.0.1"
    info    = { title = "described", version = "1" }
    paths = { "/" = { post = { x-amazon-apigateway-integration = {
      httpMethod = "POST"
      type       = "aws_proxy"
      uri        = aws_lambda_alias.live.invoke_arn
    } } } }
  })
}

resource "aws_api_gateway_resource" "rest_open" {
  rest_api_id = aws_api_gateway_rest_api.llm.id
  parent_id   = aws_api_gateway_rest_api.llm.root_resource_id
  path_part   = "rest_open"
}

resource "aws_api_gateway_method" "rest_open" {
  rest_api_id   = aws_api_gateway_rest_api.llm.id
  resource_id   = aws_api_gateway_resource.rest_open.id
  http_method   = "POST"
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "rest_open" {
  rest_api_id             = aws_api_gateway_rest_api.llm.id
  resource_id             = aws_api_gateway_resource.rest_open.id
  http_method             = aws_api_gateway_method.rest_open.http_method
  integration_http_method = "POST"
  type                    = "AWS_PROXY"
  uri                     = aws_lambda_alias.live.invoke_arn
}

resource "aws_api_gateway_resource" "rest_iam" {
  rest_api_id = aws_api_gateway_rest_api.llm.id
  parent_id   = aws_api_gateway_rest_api.llm.root_resource_id
  path_part   = "rest_iam"
}

resource "aws_api_gateway_method" "rest_iam" {
  rest_api_id   = aws_api_gateway_rest_api.llm.id
  resource_id   = aws_api_gateway_resource.rest_iam.id
  http_method   = "POST"
  authorization = "AWS_IAM"
}

resource "aws_api_gateway_integration" "rest_iam" {
  rest_api_id             = aws_api_gateway_rest_api.llm.id
  resource_id             = aws_api_gateway_resource.rest_iam.id
  http_method             = aws_api_gateway_method.rest_iam.http_method
  integration_http_method = "POST"
  type                    = "AWS_PROXY"
  uri                     = aws_lambda_alias.live.invoke_arn
}

resource "aws_api_gateway_resource" "rest_web" {
  rest_api_id = aws_api_gateway_rest_api.llm.id
  parent_id   = aws_api_gateway_rest_api.llm.root_resource_id
  path_part   = "rest_web"
}

resource "aws_api_gateway_method" "rest_web" {
  rest_api_id   = aws_api_gateway_rest_api.llm.id
  resource_id   = aws_api_gateway_resource.rest_web.id
  http_method   = "POST"
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "rest_web" {
  rest_api_id             = aws_api_gateway_rest_api.llm.id
  resource_id             = aws_api_gateway_resource.rest_web.id
  http_method             = aws_api_gateway_method.rest_web.http_method
  integration_http_method = "POST"
  type                    = "AWS_PROXY"
  uri                     = aws_lambda_function.web.invoke_arn
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
