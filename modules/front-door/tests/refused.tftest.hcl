# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name     = "llm"
  function = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live", url = "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws/" }
  package  = { path = "tests/fixtures/function.zip" }
}

run "a_name_with_no_room_for_a_suffix" {
  command = plan

  variables {
    name = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
  }

  expect_failures = [var.name]
}

run "another_kind" {
  command = plan

  variables {
    kind = "http"
  }

  expect_failures = [var.kind]
}

run "a_version_behind_the_door" {
  command = plan

  variables {
    function = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:7" }
  }

  expect_failures = [var.function]
}

run "a_distribution_without_a_url" {
  command = plan

  variables {
    kind     = "cloudfront"
    package  = null
    web_acl  = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
    function = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live" }
  }

  expect_failures = [var.function]
}

run "an_api_without_an_authorizer" {
  command = plan

  variables {
    package = null
  }

  expect_failures = [var.package]
}

run "a_distribution_with_an_authorizer" {
  command = plan

  variables {
    kind    = "cloudfront"
    web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
  }

  expect_failures = [var.package]
}

run "a_fraction_of_a_second" {
  command = plan

  variables {
    timeout = 0.5
  }

  expect_failures = [var.timeout]
}

run "a_distribution_with_plans" {
  command = plan

  variables {
    kind    = "cloudfront"
    package = null
    web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
    plans   = { acme = { requests_per_second = 1, burst = 1, tenants = ["acme"] } }
  }

  expect_failures = [var.plans]
}

run "a_tenant_with_capitals" {
  command = plan

  variables {
    plans = { acme = { requests_per_second = 1, burst = 1, tenants = ["Acme"] } }
  }

  expect_failures = [var.plans]
}

run "a_plan_for_nothing" {
  command = plan

  variables {
    plans = { acme = { requests_per_second = 0, burst = 1, tenants = ["acme"] } }
  }

  expect_failures = [var.plans]
}

run "a_plan_without_a_burst" {
  command = plan

  variables {
    plans = { acme = { requests_per_second = 1, burst = 0, tenants = ["acme"] } }
  }

  expect_failures = [var.plans]
}

run "a_quota_for_a_year" {
  command = plan

  variables {
    plans = { acme = { requests_per_second = 1, burst = 1, quota = { requests = 10, period = "YEAR" }, tenants = ["acme"] } }
  }

  expect_failures = [var.plans]
}

run "an_api_that_is_throttled_to_nothing" {
  command = plan

  variables {
    throttle = { requests_per_second = 0, burst = 1 }
  }

  expect_failures = [var.throttle]
}

run "a_distribution_with_jwts" {
  command = plan

  variables {
    kind    = "cloudfront"
    package = null
    web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
    jwt     = { issuer = "https://issuer.example.com", audience = "llm", plan_claim = "plan" }
  }

  expect_failures = [var.jwt]
}

run "an_issuer_without_tls" {
  command = plan

  variables {
    jwt = { issuer = "http://issuer.example.com", audience = "llm", plan_claim = "plan" }
  }

  expect_failures = [var.jwt]
}

run "jwks_without_tls" {
  command = plan

  variables {
    jwt = { issuer = "https://issuer.example.com", audience = "llm", plan_claim = "plan", jwks_url = "http://issuer.example.com/jwks" }
  }

  expect_failures = [var.jwt]
}

run "tokens_for_anyone" {
  command = plan

  variables {
    jwt = { issuer = "https://issuer.example.com", audience = " ", plan_claim = "plan" }
  }

  expect_failures = [var.jwt]
}

run "tokens_without_a_plan" {
  command = plan

  variables {
    jwt = { issuer = "https://issuer.example.com", audience = "llm" }
  }

  expect_failures = [var.jwt]
}

run "tokens_with_a_plan_that_is_none" {
  command = plan

  variables {
    jwt = { issuer = "https://issuer.example.com", audience = "llm", plan = "paid" }
  }

  expect_failures = [var.jwt]
}

run "a_distribution_with_a_table" {
  command = plan

  variables {
    kind       = "cloudfront"
    package    = null
    web_acl    = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
    keys_table = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/llm-keys" }
  }

  expect_failures = [var.keys_table]
}

run "a_table_by_name" {
  command = plan

  variables {
    keys_table = { arn = "llm-keys" }
  }

  expect_failures = [var.keys_table]
}

run "a_table_elsewhere" {
  command = plan

  variables {
    keys_table = { arn = "arn:aws:dynamodb:us-east-1:123456789012:table/llm-keys" }
  }

  expect_failures = [var.keys_table]
}

run "a_key_by_its_alias" {
  command = plan

  variables {
    kms_key_arn = "alias/llm"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_key_of_another_region" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_web_acl_by_name" {
  command = plan

  variables {
    web_acl = { arn = "llm" }
  }

  expect_failures = [var.web_acl]
}

run "a_global_web_acl_for_an_api" {
  command = plan

  variables {
    web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
  }

  expect_failures = [var.web_acl]
}

run "a_web_acl_of_another_region" {
  command = plan

  variables {
    web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/llm/1234abcd" }
  }

  expect_failures = [var.web_acl]
}

run "a_regional_web_acl_for_a_distribution" {
  command = plan

  variables {
    kind    = "cloudfront"
    package = null
    web_acl = { arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/llm/1234abcd" }
  }

  expect_failures = [var.web_acl]
}

run "a_domain_with_a_scheme" {
  command = plan

  variables {
    domain = { name = "https://llm.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd" }
  }

  expect_failures = [var.domain]
}

run "a_certificate_by_name" {
  command = plan

  variables {
    domain = { name = "llm.example.com", certificate_arn = "llm" }
  }

  expect_failures = [var.domain]
}

run "a_certificate_of_another_region" {
  command = plan

  variables {
    domain = { name = "llm.example.com", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1234abcd" }
  }

  expect_failures = [var.domain]
}

run "a_regional_certificate_for_a_distribution" {
  command = plan

  variables {
    kind    = "cloudfront"
    package = null
    web_acl = { arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/llm/1234abcd" }
    domain  = { name = "llm.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd" }
  }

  expect_failures = [var.domain]
}

run "an_open_distribution" {
  command = plan

  variables {
    kind    = "cloudfront"
    package = null
  }

  expect_failures = [var.cloudfront]
}

run "a_distribution_that_waits_too_long" {
  command = plan

  variables {
    cloudfront = { origin_read_timeout = 600 }
  }

  expect_failures = [var.cloudfront]
}

run "a_price_class_of_no_price" {
  command = plan

  variables {
    cloudfront = { price_class = "PriceClass_0" }
  }

  expect_failures = [var.cloudfront]
}

run "a_log_bucket_by_name" {
  command = plan

  variables {
    cloudfront = { log_bucket = "my-logs" }
  }

  expect_failures = [var.cloudfront]
}

run "logs_forever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}
