# What the module makes, with nothing but what is required, and with all of it.

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

run "a_bucket_of_its_own" {
  assert {
    condition     = output.store == "s3://docs-1/" && output.inbox == null && aws_s3_bucket.this[0].bucket_prefix == "docs-" && aws_s3_bucket_public_access_block.this[0].restrict_public_buckets && one(aws_s3_bucket_server_side_encryption_configuration.this[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "The bucket is not the store, is open or is not encrypted."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.tls_only[0].statement).effect == "Deny" && one(one(data.aws_iam_policy_document.tls_only[0].statement).condition).variable == "aws:SecureTransport"
    error_message = "The bucket answers without TLS."
  }

  assert {
    condition = jsonencode({ for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : rule.filter[0].prefix => rule.expiration[0].days if rule.id != "abandoned-uploads" }) == jsonencode({
      "batches/" = 90
      "files/"   = 30
      "inbox/"   = 30
      "uploads/" = 30
      "work/"    = 14
    })
    error_message = "Something is kept for another time than it should be."
  }

  assert {
    condition = jsonencode(jsondecode(aws_s3_object.configuration.content)) == jsonencode({
      inbox         = null
      inbox_dollars = null
      machine       = "arn:aws:states:eu-central-1:123456789012:stateMachine:docs"
      models = { embed = {
        backends = { own = {
          concurrency = 5
          decode      = 10
          function    = "arn:aws:lambda:eu-central-1:123456789012:function:embed:live"
          kind        = "lambda"
          model       = "bge"
          parallel    = 4
          prefill     = 2000
          region      = "eu-central-1"
          timeout     = 900
          url         = null
        } }
        max_tokens = 1024
        operations = ["/v1/embeddings"]
      } }
      version = 1
    }) && aws_s3_object.configuration.key == "configuration.json"
    error_message = "The configuration is not what was given."
  }

  assert {
    condition     = aws_lambda_function.this["index"].memory_size == 2048 && aws_lambda_function.this["worker"].memory_size == 512 && alltrue([for function in aws_lambda_function.this : function.timeout == 900 && function.environment[0].variables["LAMBDA_LLM_BATCH_STORE"] == "s3://docs-1/" && function.tags["lambda-llm"] == "batch" && function.handler == "lambda_llm.batch.handler.handle"])
    error_message = "The functions are not those of batches."
  }

  assert {
    condition     = aws_sfn_state_machine.this.type == "STANDARD" && !aws_sfn_state_machine.this.logging_configuration[0].include_execution_data && !aws_sfn_state_machine.this.tracing_configuration[0].enabled
    error_message = "The state machine tells what batches are about, or is of another type."
  }

  # AWS asks for rights of the role that it has with GPUs alone.
  assert {
    condition     = !contains(keys(jsondecode(aws_sfn_state_machine.this.definition).States), "Jobs") && !strcontains(aws_sfn_state_machine.this.definition, "batch:submitJob") && jsondecode(aws_sfn_state_machine.this.definition).TimeoutSeconds == 14 * 24 * 3600
    error_message = "The state machine starts jobs that nobody asked for."
  }

  assert {
    condition     = length(aws_iam_role.bedrock) == 0 && length(aws_cloudwatch_event_rule.inbox) == 0 && length(aws_scheduler_schedule.inbox) == 0 && length(aws_s3_bucket_notification.this) == 0 && length(aws_s3_bucket_logging.this) == 0
    error_message = "Something was made that nobody asked for."
  }

  assert {
    condition     = !contains([for statement in data.aws_iam_policy_document.worker.statement : statement.sid], "StartBedrockJobs") && [for statement in data.aws_iam_policy_document.worker.statement : statement.resources if statement.sid == "AskFunctions"] == [toset(["arn:aws:lambda:eu-central-1:123456789012:function:embed:live"])]
    error_message = "The workers may ask something else than the function."
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.store["worker"].statement : statement.resources if statement.sid == "WriteStore"]) == toset(["arn:aws:s3:::docs-1/work/*"]) && !contains(one([for statement in data.aws_iam_policy_document.store["worker"].statement : statement.resources if statement.sid == "ReadStore"]), "arn:aws:s3:::docs-1/inbox/*") && !contains([for statement in data.aws_iam_policy_document.store["worker"].statement : statement.sid], "ClearStore") && !contains([for statement in data.aws_iam_policy_document.store["index"].statement : statement.sid], "StartBatches")
    error_message = "A function may do more than it needs."
  }

  assert {
    condition     = toset(keys(output.alarm_arns)) == toset(["failed", "timed-out", "throttled", "index-errors", "index-throttles", "worker-errors", "worker-throttles"]) && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 0])
    error_message = "The alarms are others, or tell somebody."
  }
}

run "every_kind_of_backend_in_an_existing_bucket" {
  variables {
    models = {
      chat = {
        operations = ["/v1/chat/completions", "/v1/completions"]
        max_tokens = 256
        lambda     = { own = { function = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live", model = "llama", prefill = 300, decode = 20, reserved_concurrency = 20, interactive = 5, parallel = 2, timeout = 600, url = "https://vpce-1.lambda.eu-central-1.vpce.amazonaws.com" } }
        bedrock = {
          nova  = { model = "amazon.nova-micro-v1:0", arns = ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"], region = "us-east-1", input = 0.0175, output = 0.07 }
          given = { model = "meta.llama3-3-70b-instruct-v1:0", arns = ["arn:aws:bedrock:eu-central-1::foundation-model/meta.llama3-3-70b-instruct-v1:0"], role = { arn = "arn:aws:iam::123456789012:role/given" }, input = 0.36, output = 0.36, hours = 48, records = 1000 }
        }
        gpu = { g6 = { queue = "arn:aws:batch:eu-central-1:123456789012:job-queue/gpu", definition = "arn:aws:batch:eu-central-1:123456789012:job-definition/vllm", model = "llama", hourly = 0.8, prefill = 20000, decode = 4000 } }
      }
    }
    store       = { prefix = "llm/batch/", existing = { bucket = "ours", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" } }
    inbox       = { tenant = "docs", schedule = "rate(1 hour)", max_dollars = 5 }
    tracing     = "Active"
    topic_arn   = "arn:aws:sns:eu-central-1:123456789012:on-call"
    environment = { LOG_LEVEL = "debug" }
  }

  assert {
    condition     = output.store == "s3://ours/llm/batch/" && output.inbox == "s3://ours/llm/batch/inbox/" && aws_s3_object.configuration.bucket == "ours" && aws_s3_object.configuration.key == "llm/batch/configuration.json" && length(aws_s3_bucket.this) == 0 && length(aws_s3_bucket_lifecycle_configuration.this) == 0 && length(aws_s3_bucket_notification.this) == 0
    error_message = "The store is elsewhere, or something of somebody else's bucket was changed."
  }

  assert {
    condition     = jsondecode(aws_s3_object.configuration.content).models.chat.backends.own.concurrency == 15 && jsondecode(aws_s3_object.configuration.content).models.chat.backends.nova.region == "us-east-1" && jsondecode(aws_s3_object.configuration.content).models.chat.backends.nova.role == "arn:aws:iam::123456789012:role/docs-1" && jsondecode(aws_s3_object.configuration.content).models.chat.backends.given.role == "arn:aws:iam::123456789012:role/given" && jsondecode(aws_s3_object.configuration.content).models.chat.backends.g6.kind == "gpu" && jsondecode(aws_s3_object.configuration.content).inbox == "docs" && jsondecode(aws_s3_object.configuration.content).inbox_dollars == 5
    error_message = "The configuration is not what was given."
  }

  assert {
    condition     = jsondecode(aws_sfn_state_machine.this.definition).States.Jobs.Resource == "arn:aws:states:::batch:submitJob.sync" && contains(jsondecode(aws_sfn_state_machine.this.definition).States.Indexed.Choices[*].Next, "Jobs") && aws_sfn_state_machine.this.tracing_configuration[0].enabled
    error_message = "The state machine starts no jobs, or is not traced."
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.machine.statement : statement.resources if statement.sid == "StartJobs"]) == toset(["arn:aws:batch:eu-central-1:123456789012:job-queue/gpu", "arn:aws:batch:eu-central-1:123456789012:job-definition/vllm", "arn:aws:batch:eu-central-1:123456789012:job-definition/vllm:*"]) && one([for statement in data.aws_iam_policy_document.machine.statement : statement.resources if statement.sid == "ReadParts"]) == toset(["arn:aws:s3:::ours/llm/batch/work/*/parts.jsonl"])
    error_message = "The state machine may start other jobs, or read something else."
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.worker.statement : statement.resources if statement.sid == "FollowBedrockJobs"]) == toset(["arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/*", "arn:aws:bedrock:eu-central-1:123456789012:model-invocation-job/*"]) && one([for statement in data.aws_iam_policy_document.worker.statement : statement.resources if statement.sid == "LendRoles"]) == toset(["arn:aws:iam::123456789012:role/given", "arn:aws:iam::123456789012:role/docs-1"])
    error_message = "The workers may follow other jobs, or lend other roles."
  }

  assert {
    condition     = one([for statement in data.aws_iam_policy_document.store["index"].statement : statement.resources if statement.sid == "StartBatches"]) == toset(["arn:aws:states:eu-central-1:123456789012:stateMachine:docs"]) && contains(one([for statement in data.aws_iam_policy_document.store["index"].statement : statement.resources if statement.sid == "ReadStore"]), "arn:aws:s3:::ours/llm/batch/inbox/*") && contains(one([for statement in data.aws_iam_policy_document.store["worker"].statement : statement.resources if statement.sid == "ReadStore"]), "arn:aws:s3:::ours/llm/batch/inbox/*")
    error_message = "The functions can't take or read uploads."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.inbox[0].event_pattern).detail.object.key[0].prefix == "llm/batch/inbox/" && jsondecode(aws_cloudwatch_event_rule.inbox[0].event_pattern).detail.bucket.name[0] == "ours" && jsondecode(aws_scheduler_schedule.inbox[0].target[0].input) == { do = "intake" } && aws_lambda_permission.inbox[0].source_arn == aws_cloudwatch_event_rule.inbox[0].arn
    error_message = "Uploads are not told, or by somebody else."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:on-call"])]) && aws_lambda_function.this["worker"].environment[0].variables["LOG_LEVEL"] == "debug"
    error_message = "Nobody is told, or a variable is missing."
  }

  assert {
    condition     = alltrue([for rights in data.aws_iam_policy_document.store : contains([for statement in rights.statement : statement.sid], "Encrypt")]) && [for statement in data.aws_iam_policy_document.machine.statement : statement.resources if statement.sid == "UseKey"] == [toset(["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"])]
    error_message = "What the bucket's key encrypts can't be read."
  }
}

run "a_key_of_ones_own" {
  variables {
    store       = { name = "our-batches", prefix = "llm/" }
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    access_log  = { bucket = "our-logs" }
    inbox       = { tenant = "docs" }
  }

  assert {
    condition     = aws_s3_bucket.this[0].bucket == "our-batches" && one(aws_s3_bucket_server_side_encryption_configuration.this[0].rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn && aws_lambda_function.this["index"].kms_key_arn == var.kms_key_arn && aws_s3_bucket_logging.this[0].target_bucket == "our-logs"
    error_message = "The bucket has another name or key, or its access is not logged."
  }

  assert {
    condition     = aws_s3_bucket_notification.this[0].eventbridge && length(aws_scheduler_schedule.inbox) == 0 && contains([for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : try(rule.filter[0].prefix, "")], "llm/inbox/")
    error_message = "The bucket tells nobody of uploads, or keeps them for ever."
  }
}
