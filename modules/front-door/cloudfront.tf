# CloudFront in front of the Function URL. It signs each request itself (origin access control), so Lambda knows the
# distribution and not the viewer: who may view is decided by signed URLs or cookies, or by the web ACL.

resource "aws_cloudfront_origin_access_control" "this" {
  count = local.cloudfront ? 1 : 0

  name                              = var.name
  description                       = "Signs for ${local.function_arn}"
  origin_access_control_origin_type = "lambda"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_distribution" "this" {
  #checkov:skip=CKV_AWS_68:Whoever has signed URLs or cookies may do without: var.web_acl.
  #checkov:skip=CKV2_AWS_47:Nothing behind it runs on Java; the web ACL is the caller's: var.web_acl.
  #checkov:skip=CKV_AWS_86:The caller chooses a bucket: var.cloudfront.log_bucket.
  #checkov:skip=CKV_AWS_174:With a domain it is TLS 1.2; CloudFront's own certificate has no choice.
  #checkov:skip=CKV2_AWS_42:The caller chooses a domain: var.domain.
  #checkov:skip=CKV_AWS_305:It has no pages, so there is no default one.
  #checkov:skip=CKV_AWS_310:There is one function; a second origin would be another model.
  #checkov:skip=CKV_AWS_374:Who may view is decided by signatures or the web ACL, which can also tell countries.
  #checkov:skip=CKV2_AWS_32:Its callers are programs, which know no such headers.
  count = local.cloudfront ? 1 : 0

  comment         = "Front door of ${local.function_arn}"
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = var.cloudfront.price_class
  web_acl_id      = try(var.web_acl.arn, null)
  aliases         = var.domain == null ? [] : [var.domain.name]
  tags            = local.tags

  origin {
    origin_id                = "function"
    domain_name              = trimsuffix(trimprefix(coalesce(var.function.url, "https:///"), "https://"), "/")
    origin_access_control_id = aws_cloudfront_origin_access_control.this[0].id

    custom_origin_config {
      http_port                = 80
      https_port               = 443
      origin_protocol_policy   = "https-only"
      origin_ssl_protocols     = ["TLSv1.2"]
      origin_read_timeout      = var.cloudfront.origin_read_timeout
      origin_keepalive_timeout = 60
    }
  }

  default_cache_behavior {
    target_origin_id       = "function"
    viewer_protocol_policy = "https-only"
    allowed_methods        = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    cached_methods         = ["GET", "HEAD"]
    compress               = false
    trusted_key_groups     = var.cloudfront.trusted_key_groups

    # AWS's managed policies CachingDisabled and AllViewerExceptHostHeader: the signature covers the origin's own host.
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-origin-request-policies.html
    cache_policy_id          = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    origin_request_policy_id = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.domain == null
    acm_certificate_arn            = try(var.domain.certificate_arn, null)
    ssl_support_method             = var.domain == null ? null : "sni-only"
    minimum_protocol_version       = var.domain == null ? null : "TLSv1.2_2021"
  }

  dynamic "logging_config" {
    for_each = var.cloudfront.log_bucket == null ? [] : [var.cloudfront.log_bucket]

    content {
      bucket          = logging_config.value
      include_cookies = false
      prefix          = "${var.name}/"
    }
  }
}
