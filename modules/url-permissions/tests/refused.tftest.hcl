# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  function           = { function_name = "chat", alias_name = "live" }
  allowed_principals = { partner = "123456789012" }
}

run "a_function_without_alias" {
  command = plan

  variables {
    function = { function_name = "chat", alias_name = "$LATEST" }
  }

  expect_failures = [var.function]
}

run "callers_from_everywhere" {
  command = plan

  variables {
    allowed_principals = { all = "*" }
  }

  expect_failures = [var.allowed_principals]
}

run "an_allowed_principal_with_a_name_of_words" {
  command = plan

  variables {
    allowed_principals = { "my app" = "123456789012" }
  }

  expect_failures = [var.allowed_principals]
}

run "an_allowed_principal_with_a_wildcard" {
  command = plan

  variables {
    allowed_principals = { all = "arn:aws:iam::123456789012:role/app-????" }
  }

  expect_failures = [var.allowed_principals]
}
