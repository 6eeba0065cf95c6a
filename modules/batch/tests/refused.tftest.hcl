# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

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
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:docs" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/docs-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/docs" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-central-1:123456789012:rule/docs-inbox" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "docs-1", arn = "arn:aws:s3:::docs-1" }
  }
  mock_resource "aws_sfn_state_machine" {
    defaults = { arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:docs" }
  }
}

variables {
  name    = "docs"
  package = { path = "tests/fixtures/function.zip" }
  models = {
    embed = {
      operations = ["/v1/embeddings"]
      lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
    }
  }
}

run "a_long_name" {
  command = plan

  variables {
    name = "a-name-that-is-too-long-for-the-functions-that-are-named-after-it"
  }

  expect_failures = [var.name]
}

run "no_models" {
  command = plan

  variables {
    models = {}
  }

  expect_failures = [var.models]
}

run "a_strange_name_of_a_model" {
  command = plan

  variables {
    models = {
      "a model" = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "an_operation_that_nobody_has" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/images/generations"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "no_operation" {
  command = plan

  variables {
    models = {
      chat = {
        operations = []
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "answers_without_tokens" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        max_tokens = 0
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "no_backend" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
      }
    }
  }

  expect_failures = [var.models]
}

run "a_name_of_two_backends" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
        bedrock    = { Own = { model = "amazon.nova-micro-v1:0", arns = ["arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-micro-v1:0"], input = 0.0175, output = 0.07 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_nameless_model" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "", prefill = 2000, decode = 10, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_function_without_alias" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed", model = "bge", prefill = 2000, decode = 10, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "neither_concurrency" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "both_concurrencies" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5, reserved_concurrency = 10, interactive = 2 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "nothing_is_said_of_interactive_requests" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, reserved_concurrency = 10 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "no_environment_is_left" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, reserved_concurrency = 10, interactive = 10 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "half_an_environment" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 2.5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_function_without_speed" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 0, concurrency = 5 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_function_with_more_time_than_lambda_gives" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5, timeout = 901 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "an_endpoint_with_a_path" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live", model = "bge", prefill = 2000, decode = 10, concurrency = 5, url = "https://vpce.example.com/path" } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_bucket_as_a_model" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        bedrock    = { nova = { model = "amazon.nova-micro-v1:0", arns = ["arn:aws:s3:::my-bucket"], input = 0.0175, output = 0.07 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_job_without_models" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        bedrock    = { nova = { model = "amazon.nova-micro-v1:0", arns = [], input = 0.0175, output = 0.07 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_user_as_bedrock_s_role" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        bedrock    = { nova = { model = "amazon.nova-micro-v1:0", arns = ["arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-micro-v1:0"], input = 0.0175, output = 0.07, role = { arn = "arn:aws:iam::123456789012:user/me" } } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_job_of_an_hour" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        bedrock    = { nova = { model = "amazon.nova-micro-v1:0", arns = ["arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-micro-v1:0"], input = 0.0175, output = 0.07, hours = 1 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_queue_of_sqs" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        gpu        = { g6 = { queue = "arn:aws:sqs:eu-central-1:123456789012:gpu", definition = "arn:aws:batch:eu-central-1:123456789012:job-definition/vllm:3", model = "llama", hourly = 0.8, prefill = 20000, decode = 4000 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "an_instance_for_nothing" {
  command = plan

  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions"]
        gpu        = { g6 = { queue = "arn:aws:batch:eu-central-1:123456789012:job-queue/gpu", definition = "arn:aws:batch:eu-central-1:123456789012:job-definition/vllm:3", model = "llama", hourly = 0, prefill = 20000, decode = 4000 } }
      }
    }
  }

  expect_failures = [var.models]
}

run "a_store_with_dots" {
  command = plan

  variables {
    store = { name = "my.store" }
  }

  expect_failures = [var.store]
}

run "a_store_in_an_address" {
  command = plan

  variables {
    store = { existing = { bucket = "s3://mine" } }
  }

  expect_failures = [var.store]
}

run "two_stores" {
  command = plan

  variables {
    store = { existing = { bucket = "mine" }, name = "other" }
  }

  expect_failures = [var.store]
}

run "a_prefix_without_a_slash" {
  command = plan

  variables {
    store = { prefix = "batch" }
  }

  expect_failures = [var.store]
}

run "a_prefix_with_a_wildcard" {
  command = plan

  variables {
    store = { prefix = "*/" }
  }

  expect_failures = [var.store]
}

run "an_alias_as_the_bucket_s_key" {
  command = plan

  variables {
    store = { existing = { bucket = "mine", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/mine" } }
  }

  expect_failures = [var.store]
}

run "an_inbox_of_nobody" {
  command = plan

  variables {
    inbox = { tenant = "" }
  }

  expect_failures = [var.inbox]
}

run "an_inbox_that_nobody_looks_into" {
  command = plan

  variables {
    inbox = { tenant = "docs", on_upload = false }
  }

  expect_failures = [var.inbox]
}

run "an_inbox_that_would_earn_money" {
  command = plan

  variables {
    inbox = { tenant = "docs", max_dollars = -1 }
  }

  expect_failures = [var.inbox]
}

run "an_inbox_at_noon" {
  command = plan

  variables {
    inbox = { tenant = "docs", schedule = "noon" }
  }

  expect_failures = [var.inbox]
}

run "files_for_half_a_day" {
  command = plan

  variables {
    days = { files = 0.5 }
  }

  expect_failures = [var.days]
}

run "work_that_is_gone_too_early" {
  command = plan

  variables {
    days = { work = 7 }
  }

  expect_failures = [var.days]
}

run "a_strange_variable" {
  command = plan

  variables {
    environment = { "a-b" = "c" }
  }

  expect_failures = [var.environment]
}

run "a_variable_of_the_module" {
  command = plan

  variables {
    environment = { LAMBDA_LLM_BATCH_STORE = "s3://other/" }
  }

  expect_failures = [var.environment]
}

run "unknown_tracing" {
  command = plan

  variables {
    tracing = "Always"
  }

  expect_failures = [var.tracing]
}

run "a_fifo_topic" {
  command = plan

  variables {
    topic_arn = "arn:aws:sns:eu-central-1:123456789012:on-call.fifo"
  }

  expect_failures = [var.topic_arn]
}

run "logs_of_logs" {
  command = plan

  variables {
    store      = { name = "mine" }
    access_log = { bucket = "mine" }
  }

  expect_failures = [var.access_log]
}

run "an_alias_as_the_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/mine"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_key_of_another_region" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  expect_failures = [aws_lambda_function.this]
}
