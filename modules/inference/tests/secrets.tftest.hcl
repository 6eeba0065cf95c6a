# Values that no message may show.

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
  mock_resource "aws_lambda_function" {
    defaults = { version = "7", arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-1" }
  }
}

variables {
  name = "chat"
  model = {
    bucket     = "my-models"
    key        = "models/llama.gguf"
    version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
    size       = 770000000
    sha256     = "B5BB9D8014A0F9B1D61E21E796D78DCCDF1352F23CD32812F4850B878AE4944C"
  }
  package = { path = "tests/fixtures/function.zip" }
}

run "a_secret_prompt" {
  variables {
    system_prompt  = sensitive("Nobody may know this.")
    system_prompts = sensitive(["s3://my-prompts/k"])
    environment    = sensitive({ OTEL_EXPORTER_OTLP_HEADERS = "authorization=secret", LAMBDA_LLM_WEIGHTS = "mapped" })
  }

  assert {
    condition     = contains(flatten([for statement in data.aws_iam_policy_document.this.statement : statement.resources]), "arn:aws:s3:::my-prompts/k") && nonsensitive(aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_SYSTEM_PROMPT"]) == "Nobody may know this."
    error_message = "A prompt that is a secret did not arrive."
  }
}

run "a_secret_prompt_that_is_too_long" {
  command = plan

  variables {
    system_prompt = sensitive(join(" ", [for number in range(800) : "secret"]))
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_secret_model_that_is_too_large" {
  command = plan

  variables {
    model = sensitive(merge(var.model, { size = 12000000000 }))
  }

  expect_failures = [var.model]
}

run "a_secret_key_of_another_region" {
  command = plan

  variables {
    kms_key_arn = sensitive("arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555")
  }

  expect_failures = [aws_lambda_function.this]
}
