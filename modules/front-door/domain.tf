# A name of one's own, for both kinds.

locals {
  zone = var.domain == null ? null : var.domain.zone

  # Of the distribution or of the API's domain: its name and the id of its hosted zone.
  alias_target = local.cloudfront ? {
    name    = one(aws_cloudfront_distribution.this[*].domain_name)
    zone_id = one(aws_cloudfront_distribution.this[*].hosted_zone_id)
    } : {
    name    = one(aws_api_gateway_domain_name.this[*].regional_domain_name)
    zone_id = one(aws_api_gateway_domain_name.this[*].regional_zone_id)
  }
}

resource "aws_api_gateway_domain_name" "this" {
  count = local.rest && var.domain != null ? 1 : 0

  domain_name              = var.domain.name
  regional_certificate_arn = var.domain.certificate_arn
  security_policy          = "TLS_1_2"
  tags                     = local.tags

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_base_path_mapping" "this" {
  count = local.rest && var.domain != null ? 1 : 0

  domain_name = aws_api_gateway_domain_name.this[0].domain_name
  api_id      = aws_api_gateway_rest_api.this[0].id
  stage_name  = aws_api_gateway_stage.this[0].stage_name
}

resource "aws_route53_record" "this" {
  for_each = local.zone == null ? [] : toset(local.cloudfront ? ["A", "AAAA"] : ["A"])

  zone_id = local.zone.id
  name    = var.domain.name
  type    = each.value

  alias {
    name                   = local.alias_target.name
    zone_id                = local.alias_target.zone_id
    evaluate_target_health = false
  }
}
