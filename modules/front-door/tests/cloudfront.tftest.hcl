# What a stack with a distribution gets. The local AWS has none of it.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_cloudfront_distribution" {
    defaults = { arn = "arn:aws:cloudfront::123456789012:distribution/E1", domain_name = "d1.cloudfront.net", hosted_zone_id = "Z2FDTNDATAQYW2" }
  }
  mock_resource "aws_cloudfront_origin_access_control" {
    defaults = { id = "OAC1" }
  }
}

variables {
  name = "llm"
  kind = "cloudfront"
  function = {
    alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
    url       = "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws/"
  }
  web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
}

run "it_signs_every_request" {
  assert {
    condition     = aws_cloudfront_origin_access_control.this[0].signing_behavior == "always" && aws_cloudfront_origin_access_control.this[0].signing_protocol == "sigv4" && aws_cloudfront_origin_access_control.this[0].origin_access_control_origin_type == "lambda"
    error_message = "A request could reach the function unsigned."
  }

  assert {
    condition     = one(aws_cloudfront_distribution.this[0].origin).domain_name == "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws" && one(aws_cloudfront_distribution.this[0].origin).origin_access_control_id == "OAC1" && one(aws_cloudfront_distribution.this[0].origin).custom_origin_config[0].origin_protocol_policy == "https-only"
    error_message = "The origin is another one, or not signed for."
  }

  assert {
    condition = jsonencode([for permission in [aws_lambda_permission.url[0], aws_lambda_permission.function[0]] : [permission.action, permission.principal, permission.qualifier, permission.source_arn, permission.function_url_auth_type]]) == jsonencode([
      ["lambda:InvokeFunctionUrl", "cloudfront.amazonaws.com", "live", "arn:aws:cloudfront::123456789012:distribution/E1", "AWS_IAM"],
      ["lambda:InvokeFunction", "cloudfront.amazonaws.com", "live", "arn:aws:cloudfront::123456789012:distribution/E1", null],
    ])
    error_message = "Another distribution may invoke the function, or this one may not."
  }

  assert {
    condition     = aws_cloudfront_distribution.this[0].default_cache_behavior[0].viewer_protocol_policy == "https-only" && aws_cloudfront_distribution.this[0].default_cache_behavior[0].cache_policy_id == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad" && aws_cloudfront_distribution.this[0].default_cache_behavior[0].origin_request_policy_id == "b689b0a8-53d0-40ab-baf2-68738e2966ac" && aws_cloudfront_distribution.this[0].default_cache_behavior[0].compress == false
    error_message = "Answers are cached, or a header that the function needs is not passed on."
  }

  assert {
    condition     = aws_cloudfront_distribution.this[0].web_acl_id == var.web_acl.arn && output.base_url == "https://d1.cloudfront.net/v1" && output.table_name == null && output.api_id == null
    error_message = "The distribution has no web ACL, or clients are told another address."
  }

  assert {
    condition     = length(aws_api_gateway_rest_api.this) + length(aws_lambda_function.authorizer) + length(aws_dynamodb_table.keys) + length(aws_lambda_permission.rest) == 0
    error_message = "There is a REST API beside it."
  }
}

run "for_holders_of_signed_urls" {
  variables {
    web_acl    = null
    cloudfront = { trusted_key_groups = ["group-1"], log_bucket = "my-logs.s3.amazonaws.com", origin_read_timeout = 120 }
    domain     = { name = "llm.example.com", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1234abcd", zone = { id = "Z123" } }
  }

  assert {
    condition     = aws_cloudfront_distribution.this[0].default_cache_behavior[0].trusted_key_groups == tolist(["group-1"])
    error_message = "The distribution is open."
  }

  assert {
    condition     = one(aws_cloudfront_distribution.this[0].aliases) == "llm.example.com" && aws_cloudfront_distribution.this[0].viewer_certificate[0].minimum_protocol_version == "TLSv1.2_2021" && keys(aws_route53_record.this) == ["A", "AAAA"]
    error_message = "The domain leads elsewhere, or with an older TLS."
  }

  assert {
    condition     = one(aws_cloudfront_distribution.this[0].logging_config).bucket == "my-logs.s3.amazonaws.com" && one(aws_cloudfront_distribution.this[0].origin).custom_origin_config[0].origin_read_timeout == 120 && output.base_url == "https://llm.example.com/v1"
    error_message = "The log, the timeout or the address is another one."
  }
}
