# A door for callers who have no AWS credentials, in front of any function that speaks OpenAI's protocol. There are two
# kinds: `rest`, an API Gateway REST API whose authorizer knows keys and JWTs, and `cloudfront`, a distribution that signs
# for its viewers. rest.tf, authorizer.tf, keys.tf, plans.tf and logs.tf belong to the first, cloudfront.tf to the second.

locals {
  rest       = var.kind == "rest"
  cloudfront = var.kind == "cloudfront"

  # arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME:ALIAS
  alias_parts  = split(":", var.function.alias_arn)
  partition    = local.alias_parts[1]
  region       = local.alias_parts[3]
  account      = local.alias_parts[4]
  function_arn = join(":", slice(local.alias_parts, 0, 7))
  alias        = local.alias_parts[7]
}

# Who may invoke the function is decided here alone: this one API, in its one stage.
resource "aws_lambda_permission" "rest" {
  count = local.rest ? 1 : 0

  statement_id_prefix = "front-door-"
  action              = "lambda:InvokeFunction"
  function_name       = local.function_arn
  qualifier           = local.alias
  principal           = "apigateway.amazonaws.com"
  source_arn          = "${aws_api_gateway_rest_api.this[0].execution_arn}/${local.stage}/*"
}

# A Function URL asks for both.
resource "aws_lambda_permission" "url" {
  count = local.cloudfront ? 1 : 0

  statement_id_prefix    = "front-door-url-"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = local.function_arn
  qualifier              = local.alias
  principal              = "cloudfront.amazonaws.com"
  source_arn             = aws_cloudfront_distribution.this[0].arn
  function_url_auth_type = "AWS_IAM"
}

resource "aws_lambda_permission" "function" {
  count = local.cloudfront ? 1 : 0

  statement_id_prefix = "front-door-"
  action              = "lambda:InvokeFunction"
  function_name       = local.function_arn
  qualifier           = local.alias
  principal           = "cloudfront.amazonaws.com"
  source_arn          = aws_cloudfront_distribution.this[0].arn
}
