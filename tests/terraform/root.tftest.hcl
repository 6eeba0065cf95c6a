# The root module: `terraform test -test-directory=tests/terraform` in the project's folder.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_s3_object" {
    defaults = { content_length = 3817248, checksum_crc64nvme = "rosUhgp5mIg=" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "made-for-it", arn = "arn:aws:s3:::made-for-it" }
  }
  mock_resource "aws_s3_object" {
    defaults = { version_id = "uploaded" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { version = "1", arn = "arn:aws:lambda:eu-central-1:123456789012:function:lambda-llm" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:lambda-llm:live" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/lambda-llm-1" }
  }
}

variables {
  package        = { path = "modules/inference/tests/fixtures/function.zip" }
  pruner_package = { path = "modules/version-pruner/tests/fixtures/function.zip" }
}

run "a_file" {
  variables {
    model         = { file = "models/demo/lambda-llm-demo.gguf" }
    keep_sessions = true
  }

  assert {
    condition     = output.bucket == "made-for-it" && output.model.version_id == "uploaded" && output.model.size == 3817248 && output.model.sha256 == filesha256("models/demo/lambda-llm-demo.gguf")
    error_message = "The function does not serve what was uploaded."
  }

  assert {
    condition     = output.url != null && output.version == "1" && output.function_name == "lambda-llm" && endswith(output.alias_arn, ":live") && output.sessions.bucket == "made-for-it"
    error_message = "The outputs do not say how to call it."
  }
}

run "a_pushed_object" {
  variables {
    model = {
      bucket     = "my-models"
      key        = "models/llama.gguf"
      version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
      size       = 770000000
      sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    }
  }

  assert {
    condition     = output.model.bucket == "my-models" && output.model.size == 770000000 && output.sessions == null
    error_message = "The function does not serve the object that was named."
  }
}

run "a_file_and_an_object" {
  command = plan

  variables {
    model = { file = "models/demo/lambda-llm-demo.gguf", bucket = "my-models" }
  }

  expect_failures = [var.model]
}

run "an_object_without_version" {
  command = plan

  variables {
    model = { bucket = "my-models", key = "models/llama.gguf" }
  }

  expect_failures = [var.model]
}

run "no_package_where_none_was_built" {
  command = plan

  variables {
    model = {
      bucket     = "my-models"
      key        = "models/llama.gguf"
      version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
      size       = 770000000
      sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    }
    package = null
  }

  expect_failures = [var.package]
}

run "no_pruner_s_package_where_none_was_built" {
  command = plan

  variables {
    model = {
      bucket     = "my-models"
      key        = "models/llama.gguf"
      version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
      size       = 770000000
      sha256     = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"
    }
    pruner_package = null
  }

  expect_failures = [var.pruner_package]
}

run "a_file_with_a_key" {
  command = plan

  variables {
    model = { file = "models/demo/lambda-llm-demo.gguf", key = "models/other.gguf" }
  }

  expect_failures = [var.model]
}
