# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

mock_provider "aws" {
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_s3_object" {
    defaults = { version_id = "newest", content_length = 770000000, metadata = {} }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "my-models", arn = "arn:aws:s3:::my-models" }
  }
}

run "a_name_in_capitals" {
  command = plan

  variables {
    name = "My-Models"
  }

  expect_failures = [var.name]
}

run "a_prefix_too_long_for_what_follows" {
  command = plan

  variables {
    name_prefix = "a-prefix-that-leaves-no-room-for-26-more"
  }

  expect_failures = [var.name_prefix]
}

run "a_model_from_nowhere" {
  command = plan

  variables {
    models = { llama = {} }
  }

  expect_failures = [var.models]
}

run "a_file_that_is_missing" {
  command = plan

  variables {
    models = { llama = { file = "tests/fixtures/missing.gguf", key = "models/llama.gguf" } }
  }

  expect_failures = [var.models]
}

run "a_file_with_a_version" {
  command = plan

  variables {
    models = { llama = { file = "tests/fixtures/model.gguf", version_id = "1" } }
  }

  expect_failures = [var.models]
}

run "a_model_among_the_sessions" {
  command = plan

  variables {
    models = { llama = { key = "sessions/llama.gguf" } }
  }

  expect_failures = [var.models]
}

run "a_checksum_of_another_kind" {
  command = plan

  variables {
    models = { llama = { key = "models/llama.gguf", sha256 = "d41d8cd98f00b204e9800998ecf8427e" } }
  }

  expect_failures = [var.models]
}

run "an_alias_of_a_key" {
  command = plan

  variables {
    kms_key_arn = "alias/models"
  }

  expect_failures = [var.kms_key_arn]
}

run "two_keys" {
  command = plan

  variables {
    create_kms_key = true
    kms_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  expect_failures = [var.create_kms_key]
}

run "models_for_no_time" {
  command = plan

  variables {
    noncurrent_model_days = 0
  }

  expect_failures = [var.noncurrent_model_days]
}

run "state_for_no_time" {
  command = plan

  variables {
    state_days = 0
  }

  expect_failures = [var.state_days]
}

run "sessions_for_half_a_day" {
  command = plan

  variables {
    session_days = 0.5
  }

  expect_failures = [var.session_days]
}

run "logs_of_logs" {
  command = plan

  variables {
    name       = "my-models"
    access_log = { bucket = "my-models" }
  }

  expect_failures = [var.access_log]
}

run "an_object_that_does_not_say_its_sha256" {
  variables {
    models = { llama = { key = "models/llama.gguf" } }
  }

  expect_failures = [data.aws_s3_object.pushed]
}

run "a_file_of_another_kind" {
  command = plan

  variables {
    models = { llama = { file = "tests/stores.tftest.hcl" } }
  }

  expect_failures = [var.models]
}

run "a_key_of_another_region" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  expect_failures = [aws_s3_bucket.this]
}

run "more_tags_than_aws_takes" {
  command = plan

  variables {
    tags = { for number in range(49) : "tag${number}" => "x" }
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

run "a_model_of_nothing" {
  command = plan

  variables {
    models = { llama = null }
  }

  expect_failures = [var.models]
}

run "two_files_for_one_key" {
  command = plan

  variables {
    models = { one = { file = "tests/fixtures/model.gguf" }, other = { file = "tests/fixtures/model.gguf" } }
  }

  expect_failures = [var.models]
}

run "a_key_that_no_policy_can_name" {
  command = plan

  variables {
    models = { llama = { key = "models/模型.gguf" } }
  }

  expect_failures = [var.models]
}

run "a_model_of_half_a_byte" {
  command = plan

  variables {
    models = { llama = { key = "models/llama.gguf", size = 0.5 } }
  }

  expect_failures = [var.models]
}

run "state_for_longer_than_s3_counts" {
  command = plan

  variables {
    state_days = 1000000000000
  }

  expect_failures = [var.state_days]
}

run "logs_to_nowhere" {
  command = plan

  variables {
    access_log = { bucket = null }
  }

  expect_failures = [var.access_log]
}
