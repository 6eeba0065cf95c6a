# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name             = "chat"
  function         = "inference"
  mark             = "inference"
  package          = { path = "tests/fixtures/function.zip" }
  role_description = "What the inference function chat may do"
}

run "a_name_with_a_dot" {
  command = plan

  variables {
    name = "my.chat"
  }

  expect_failures = [var.name]
}

run "a_function_in_capitals" {
  command = plan

  variables {
    function = "Inference"
  }

  expect_failures = [var.function]
}

run "a_mark_that_no_policy_knows" {
  command = plan

  variables {
    mark = "chat"
  }

  expect_failures = [var.mark]
}

run "no_package" {
  command = plan

  variables {
    package = { manifest = "tests/fixtures/function.manifest.json" }
  }

  expect_failures = [var.package]
}

run "a_package_that_was_not_built" {
  command = plan

  variables {
    package = { path = "tests/fixtures/missing.zip", manifest = "tests/fixtures/function.manifest.json" }
  }

  expect_failures = [var.package]
}

run "a_package_without_manifest" {
  command = plan

  variables {
    package = { s3 = { bucket = "artifacts", key = "function.zip" } }
  }

  expect_failures = [output.source_code_hash]
}

run "a_package_of_another_function" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/pruner.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_package_that_names_no_function" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/nameless.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_package_for_x86_64" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/x86_64.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_package_for_another_python" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/python312.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_zip_of_another_build" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/another.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_zip_too_large_for_an_upload" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/large.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_package_too_large_unzipped" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", manifest = "tests/fixtures/unzipped.manifest.json" }
  }

  expect_failures = [output.source_code_hash]
}

run "a_path_without_a_slash_behind" {
  command = plan

  variables {
    path = "/teams/search"
  }

  expect_failures = [var.path]
}

run "a_boundary_by_its_name" {
  command = plan

  variables {
    permissions_boundary = "developers"
  }

  expect_failures = [var.permissions_boundary]
}

run "logs_for_ever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "an_alias_of_the_log_s_key" {
  command = plan

  variables {
    log_kms_key_arn = "alias/logs"
  }

  expect_failures = [var.log_kms_key_arn]
}

run "the_policies_mark" {
  command = plan

  variables {
    tags = { lambda-llm = "something else" }
  }

  expect_failures = [var.tags]
}

run "a_signed_package_on_this_machine" {
  command = plan

  variables {
    package = { path = "tests/fixtures/function.zip", code_sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" }
  }

  expect_failures = [var.package]
}

run "a_role_by_its_name" {
  command = plan

  variables {
    role = { name = "mine", arn = "mine" }
  }

  expect_failures = [var.role]
}

run "a_boundary_for_an_existing_role" {
  command = plan

  variables {
    role                 = { name = "mine", arn = "arn:aws:iam::123456789012:role/mine" }
    permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
  }

  expect_failures = [var.role]
}

run "a_log_group_without_arn" {
  command = plan

  variables {
    log_group = { name = "/mine", arn = "/mine" }
  }

  expect_failures = [var.log_group]
}

run "a_key_for_an_existing_log_group" {
  command = plan

  variables {
    log_group       = { name = "/mine", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/mine" }
    log_kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  expect_failures = [var.log_group]
}

run "more_tags_than_aws_takes" {
  command = plan

  variables {
    tags = { for number in range(48) : "tag${number}" => "x" }
  }

  expect_failures = [var.tags]
}

run "a_tag_of_aws_itself" {
  command = plan

  variables {
    tags = { "aws:cloudformation:stack" = "x" }
  }

  expect_failures = [var.tags]
}

run "an_uploaded_package_of_no_bucket" {
  command = plan

  variables {
    package = { manifest = "tests/fixtures/function.manifest.json", s3 = { bucket = null, key = "function.zip" } }
  }

  expect_failures = [var.package]
}

run "a_role_without_name" {
  command = plan

  variables {
    role = { name = null, arn = "arn:aws:iam::123456789012:role/app" }
  }

  expect_failures = [var.role]
}

run "a_log_group_by_another_name" {
  command = plan

  variables {
    log_group = { name = "/one", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/other" }
  }

  expect_failures = [var.log_group]
}

run "a_path_with_a_wildcard" {
  command = plan

  variables {
    path = "/teams/*/"
  }

  expect_failures = [var.path]
}

run "a_log_without_figures" {
  command = plan

  variables {
    log_level = "WARN"
  }

  expect_failures = [var.log_level]
}
