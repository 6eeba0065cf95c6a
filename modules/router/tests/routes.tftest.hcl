# What a stack gets. Nothing is applied to an account; the local AWS does that in tests/.

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
    defaults = { version = "7", arn = "arn:aws:lambda:eu-central-1:123456789012:function:llm" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:llm:live" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/llm-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/llm" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/llm-budgets" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "llm-1", arn = "arn:aws:s3:::llm-1" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { id = "https://sqs.eu-central-1.amazonaws.com/123456789012/llm-background", arn = "arn:aws:sqs:eu-central-1:123456789012:llm-background" }
  }
}

variables {
  name          = "llm"
  package       = { path = "tests/fixtures/function.zip" }
  configuration = { content = "{version: 1, backends: {}, models: {}, tenants: {}}" }
}

run "a_router" {
  assert {
    condition     = aws_lambda_function.this.function_name == "llm" && aws_lambda_function.this.memory_size == 512 && aws_lambda_function.this.architectures == tolist(["arm64"]) && aws_lambda_function.this.timeout == 900 && aws_lambda_function.this.ephemeral_storage[0].size == 512 && aws_lambda_function.this.reserved_concurrent_executions == -1
    error_message = "The function is not the package's router, or another size."
  }

  assert {
    condition     = aws_lambda_function.this.publish && aws_lambda_function.this.snap_start[0].apply_on == "PublishedVersions" && aws_lambda_alias.live.function_version == "7" && output.alias_arn == aws_lambda_alias.live.arn && output.version == "7"
    error_message = "Requests don't reach a published version with a snapshot."
  }

  assert {
    condition     = aws_lambda_function_url.live[0].authorization_type == "AWS_IAM" && aws_lambda_function_url.live[0].invoke_mode == "RESPONSE_STREAM" && aws_lambda_function_url.live[0].qualifier == "live"
    error_message = "The URL is open, is not the alias's, or does not stream."
  }

  assert {
    condition = aws_lambda_function.this.environment[0].variables == tomap({
      AWS_LAMBDA_EXEC_WRAPPER                  = "/var/task/bin/serve-router"
      AWS_LWA_PORT                             = "8080"
      AWS_LWA_INVOKE_MODE                      = "response_stream"
      AWS_LWA_READINESS_CHECK_PATH             = "/health"
      AWS_LWA_READINESS_CHECK_HEALTHY_STATUS   = "200-399"
      AWS_LWA_ERROR_STATUS_CODES               = "555"
      AWS_LWA_SNAPSTART_BEFORE_CHECKPOINT_PATH = "/snapshot/before"
      AWS_LWA_SNAPSTART_AFTER_RESTORE_PATH     = "/snapshot/after"
      LAMBDA_LLM_ROUTER_CONFIGURATION          = "s3://llm-1/configuration/router.yaml"
      LAMBDA_LLM_ROUTER_TABLE                  = "llm-budgets"
      LAMBDA_LLM_ROUTER_IDENTITY               = "iam"
    })
    error_message = "The function is told something else, or more."
  }

  assert {
    condition     = aws_lambda_function.this.layers == tolist(["arn:aws:lambda:eu-central-1:753240598075:layer:LambdaAdapterLayerArm64:30"]) && aws_lambda_function.this.tags["lambda-llm"] == "router"
    error_message = "The web adapter or the mark is missing."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.common.statement : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["ReadConfiguration", ["s3:GetObject"], ["arn:aws:s3:::llm-1/configuration/router.yaml"]],
      ["KeepBudgets", ["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"], ["arn:aws:dynamodb:eu-central-1:123456789012:table/llm-budgets"]],
    ]) && length(data.aws_iam_policy_document.function.statement) == 0
    error_message = "The role may do something else than read its configuration and keep budgets."
  }

  assert {
    condition     = aws_dynamodb_table.budgets[0].billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.budgets[0].hash_key == "pk" && aws_dynamodb_table.budgets[0].range_key == "sk" && aws_dynamodb_table.budgets[0].ttl[0].attribute_name == "expires_at" && aws_dynamodb_table.budgets[0].ttl[0].enabled && aws_dynamodb_table.budgets[0].point_in_time_recovery[0].enabled && aws_dynamodb_table.budgets[0].deletion_protection_enabled
    error_message = "The table is not the ledger's, or can be lost."
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.this[0].block_public_policy && aws_s3_bucket_public_access_block.this[0].restrict_public_buckets && aws_s3_bucket_versioning.this[0].versioning_configuration[0].status == "Enabled" && one(aws_s3_bucket_server_side_encryption_configuration.this[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256" && one(one(data.aws_iam_policy_document.tls_only[0].statement).condition).variable == "aws:SecureTransport"
    error_message = "The bucket is open, not versioned or not encrypted."
  }

  assert {
    condition     = aws_s3_object.configuration[0].content == "{version: 1, backends: {}, models: {}, tenants: {}}" && [for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : rule.filter[0].prefix if length(rule.expiration) > 0] == ["results/"]
    error_message = "The configuration is another one, or expires."
  }

  assert {
    condition     = length(aws_lambda_function.worker) == 0 && length(aws_sqs_queue.background) == 0 && output.background == null
    error_message = "There is a worker that nobody asked for."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.invoke[0].statement : [statement.actions, statement.resources, one(statement.condition).variable]]) == jsonencode([
      [["lambda:InvokeFunctionUrl"], ["arn:aws:lambda:eu-central-1:123456789012:function:llm:live"], "lambda:FunctionUrlAuthType"],
      [["lambda:InvokeFunction"], ["arn:aws:lambda:eu-central-1:123456789012:function:llm:live"], "lambda:InvokedViaFunctionUrl"],
    ])
    error_message = "A caller could write an event of its own, and claim to be somebody else."
  }
}

run "with_background" {
  variables {
    background = { result_days = 3, timeout = 300, concurrency = 10 }
  }

  assert {
    condition     = aws_lambda_function.worker[0].function_name == "llm-worker" && aws_lambda_function.worker[0].handler == "lambda_llm.router.worker.handle" && aws_lambda_function.worker[0].timeout == 300 && aws_lambda_function.worker[0].source_code_hash == aws_lambda_function.this.source_code_hash && aws_lambda_function.worker[0].layers == null && aws_lambda_function.worker[0].tags["lambda-llm"] == "router"
    error_message = "The worker is not of the same package, or is behind the web adapter."
  }

  assert {
    condition = aws_lambda_function.worker[0].environment[0].variables == tomap({
      LAMBDA_LLM_ROUTER_CONFIGURATION = "s3://llm-1/configuration/router.yaml"
      LAMBDA_LLM_ROUTER_TABLE         = "llm-budgets"
      LAMBDA_LLM_ROUTER_IDENTITY      = "iam"
      LAMBDA_LLM_ROUTER_RESULTS       = "s3://llm-1/results/"
      LAMBDA_LLM_ROUTER_QUEUE         = "https://sqs.eu-central-1.amazonaws.com/123456789012/llm-background"
    }) && aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_ROUTER_QUEUE"] == aws_lambda_function.worker[0].environment[0].variables["LAMBDA_LLM_ROUTER_QUEUE"]
    error_message = "The worker is told something else than the function."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.background[0].function_response_types == toset(["ReportBatchItemFailures"]) && aws_lambda_event_source_mapping.background[0].batch_size == 1 && aws_lambda_event_source_mapping.background[0].scaling_config[0].maximum_concurrency == 10
    error_message = "A failed request would be lost, or more are answered at a time than was asked for."
  }

  assert {
    condition     = aws_sqs_queue.background[0].visibility_timeout_seconds == 1800 && jsondecode(aws_sqs_queue.background[0].redrive_policy).maxReceiveCount == 10 && aws_sqs_queue.background[0].sqs_managed_sse_enabled && jsondecode(aws_sqs_queue.dead_letters[0].redrive_allow_policy).sourceQueueArns == ["arn:aws:sqs:eu-central-1:123456789012:llm-background"] && aws_sqs_queue.dead_letters[0].message_retention_seconds > aws_sqs_queue.background[0].message_retention_seconds
    error_message = "A message comes back while it is being answered, or is lost in the end."
  }

  assert {
    condition = jsonencode([for statement in slice(tolist(data.aws_iam_policy_document.common.statement), 2, 4) : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["KeepResults", ["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::llm-1/results/*"]],
      ["LookForResults", ["s3:ListBucket"], ["arn:aws:s3:::llm-1"]],
    ]) && one(data.aws_iam_policy_document.common.statement[3].condition).values == tolist(["results/*"])
    error_message = "The functions reach more than the results."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.function.statement).actions == toset(["sqs:SendMessage"]) && one(data.aws_iam_policy_document.worker[0].statement).actions == toset(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"])
    error_message = "The function may take requests, or the worker send them."
  }

  assert {
    condition     = { for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : rule.id => try(rule.expiration[0].days, null) }["results"] == 3 && output.background.results == "s3://llm-1/results/" && output.background.function_name == "llm-worker"
    error_message = "Answers don't expire."
  }
}

run "with_batches" {
  variables {
    background = {}
    batches    = { store = "s3://my-batches/llm/", state_machine_arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:batch", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_ROUTER_BATCHES"] == "s3://my-batches/llm/" && aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_ROUTER_BATCH_MACHINE"] == var.batches.state_machine_arn
    error_message = "The router does not know its batches."
  }

  assert {
    condition = jsonencode([for statement in slice(tolist(data.aws_iam_policy_document.function.statement), 1, 7) : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["StartBatches", ["states:StartExecution"], [var.batches.state_machine_arn]],
      ["ReadBatches", ["s3:GetObject"], ["arn:aws:s3:::my-batches/llm/batches/*", "arn:aws:s3:::my-batches/llm/files/*", "arn:aws:s3:::my-batches/llm/uploads/*"]],
      ["WriteBatches", ["s3:PutObject"], ["arn:aws:s3:::my-batches/llm/batches/*", "arn:aws:s3:::my-batches/llm/files/*", "arn:aws:s3:::my-batches/llm/work/*/stop"]],
      ["DeleteFiles", ["s3:DeleteObject"], ["arn:aws:s3:::my-batches/llm/files/*"]],
      ["ListBatches", ["s3:ListBucket"], ["arn:aws:s3:::my-batches"]],
      ["EncryptBatches", ["kms:Decrypt", "kms:GenerateDataKey"], [var.batches.kms_key_arn]],
    ]) && length(data.aws_iam_policy_document.function.statement) == 7
    error_message = "The router may do something else with batches than it does."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.function.statement[5].condition).variable == "s3:prefix" && one(data.aws_iam_policy_document.function.statement[5].condition).values == tolist(["llm/files/*", "llm/batches/*", "llm/work/*/counts/*"])
    error_message = "The router lists more than its batches."
  }

  assert {
    condition     = length(data.aws_iam_policy_document.worker[0].statement) == 1
    error_message = "The worker of background requests has to do with batches."
  }
}

run "with_batches_in_a_bucket_of_their_own" {
  variables {
    batches = { store = "s3://my-batches/", state_machine_arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:batch" }
  }

  assert {
    condition     = length(data.aws_iam_policy_document.function.statement) == 5 && data.aws_iam_policy_document.function.statement[3].resources == toset(["arn:aws:s3:::my-batches/files/*"]) && one(data.aws_iam_policy_document.function.statement[4].condition).values == tolist(["files/*", "batches/*", "work/*/counts/*"])
    error_message = "The router looks for batches somewhere else in the bucket, or uses a key that there is not."
  }
}

run "with_every_kind_of_backend" {
  variables {
    backends = {
      bedrock_models      = ["arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0", "arn:aws:bedrock:::foundation-model/amazon.nova-2-lite-v1:0"]
      bedrock_guardrails  = ["arn:aws:bedrock:us-east-1:123456789012:guardrail/abc123"]
      bedrock_projects    = ["arn:aws:bedrock-mantle:us-east-1:123456789012:project/default"]
      sagemaker_endpoints = ["arn:aws:sagemaker:eu-central-1:123456789012:endpoint/big", "arn:aws:sagemaker:eu-central-1:123456789012:inference-component/big"]
      sagemaker_outputs   = ["arn:aws:s3:::queued-answers/answers/", "arn:aws:s3:::queued-answers/failures/"]
      sagemaker_inputs    = ["arn:aws:s3:::queued-requests/"]
      functions           = ["arn:aws:lambda:eu-central-1:123456789012:function:small:live"]
      function_urls       = ["arn:aws:lambda:us-east-1:123456789012:function:other:live"]
    }
    secrets             = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:key-AbCdEf", "arn:aws:ssm:eu-central-1:123456789012:parameter/llm/key"]
    secret_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
  }

  assert {
    condition = jsonencode([for statement in slice(tolist(data.aws_iam_policy_document.common.statement), 2, 16) : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["ReadSecrets", ["secretsmanager:GetSecretValue"], [var.secrets[0]]],
      ["ReadParameters", ["ssm:GetParameter"], [var.secrets[1]]],
      ["Decrypt", ["kms:Decrypt"], var.secret_kms_key_arns],
      ["AskBedrock", ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"], sort(var.backends.bedrock_models)],
      ["ApplyGuardrails", ["bedrock:ApplyGuardrail"], var.backends.bedrock_guardrails],
      ["AskMantle", ["bedrock-mantle:CreateInference"], var.backends.bedrock_projects],
      ["AskEndpoints", ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync", "sagemaker:InvokeEndpointWithResponseStream"], var.backends.sagemaker_endpoints],
      ["TakeAnswers", ["s3:DeleteObject", "s3:GetObject"], [for arn in var.backends.sagemaker_outputs : "${arn}*"]],
      ["LookForAnswers", ["s3:ListBucket"], ["arn:aws:s3:::queued-answers"]],
      ["WriteInputs", ["s3:DeleteObject", "s3:PutObject"], ["arn:aws:s3:::queued-requests/*"]],
      ["AskFunctions", ["lambda:InvokeFunction"], var.backends.functions],
      ["ReadMetrics", ["cloudwatch:GetMetricData"], ["*"]],
      ["AskURLs", ["lambda:InvokeFunctionUrl"], var.backends.function_urls],
      ["ByURLOnly", ["lambda:InvokeFunction"], var.backends.function_urls],
    ]) && length(data.aws_iam_policy_document.common.statement) == 16 && one(data.aws_iam_policy_document.common.statement[15].condition).variable == "lambda:InvokedViaFunctionUrl"
    error_message = "The role may not ask what it was given, or may ask more."
  }
}

run "behind_a_front_door" {
  variables {
    identity = "authorizer"
  }

  assert {
    condition     = length(aws_lambda_function_url.live) == 0 && output.url == null && output.invoke_policy_json == null && aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_ROUTER_IDENTITY"] == "authorizer"
    error_message = "There is a way past the front door, which names the tenant."
  }
}

run "with_a_configuration_of_somebody_else" {
  variables {
    configuration = { s3 = { bucket = "my-configurations", key = "teams/llm.yaml", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" } }
    budgets       = { table = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/shared-budgets", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/99999999-2222-3333-4444-555555555555" } }
  }

  assert {
    condition     = length(aws_s3_bucket.this) == 0 && length(aws_dynamodb_table.budgets) == 0 && output.configuration == "s3://my-configurations/teams/llm.yaml" && output.table.name == "shared-budgets"
    error_message = "Something is made that is there already."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.common.statement : [statement.sid, statement.resources]]) == jsonencode([
      ["ReadConfiguration", ["arn:aws:s3:::my-configurations/teams/llm.yaml"]],
      ["KeepBudgets", ["arn:aws:dynamodb:eu-central-1:123456789012:table/shared-budgets"]],
      ["Decrypt", ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"]],
      ["Encrypt", ["arn:aws:kms:eu-central-1:123456789012:key/99999999-2222-3333-4444-555555555555"]],
    ])
    error_message = "The role reads something else than the one object, or can't use the keys."
  }
}

run "with_appconfig_in_a_vpc_with_a_key" {
  variables {
    configuration = { appconfig = { arn = "arn:aws:appconfig:eu-central-1:123456789012:application/abc1234/environment/def5678/configuration/ghi9012" } }
    kms_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    vpc           = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    tracing       = "Active"
    background    = {}
    environment   = { PYTHONWARNINGS = "default" }
  }

  assert {
    condition = aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_ROUTER_CONFIGURATION"] == "appconfig://abc1234/def5678/ghi9012" && jsonencode([for statement in slice(tolist(data.aws_iam_policy_document.common.statement), 0, 3) : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["ReadConfiguration", ["appconfig:GetLatestConfiguration", "appconfig:StartConfigurationSession"], [var.configuration.appconfig.arn]],
      ["KeepBudgets", ["dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"], ["arn:aws:dynamodb:eu-central-1:123456789012:table/llm-budgets"]],
      ["Encrypt", ["kms:Decrypt", "kms:GenerateDataKey"], [var.kms_key_arn]],
    ])
    error_message = "The router reads something else than the one profile."
  }

  assert {
    condition     = aws_sqs_queue.background[0].kms_master_key_id == var.kms_key_arn && aws_sqs_queue.dead_letters[0].kms_master_key_id == var.kms_key_arn && one(aws_s3_bucket_server_side_encryption_configuration.this[0].rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn && aws_dynamodb_table.budgets[0].server_side_encryption[0].kms_key_arn == var.kms_key_arn && aws_lambda_function.worker[0].kms_key_arn == var.kms_key_arn
    error_message = "Something is encrypted with another key."
  }

  assert {
    condition     = [for statement in slice(tolist(data.aws_iam_policy_document.common.statement), 5, 8) : "${statement.sid} ${coalesce(statement.effect, "Allow")}"] == ["WriteTraces Allow", "AttachToSubnets Allow", "NotByItsCode Deny"] && one(data.aws_iam_policy_document.common.statement[7].condition).values == tolist(["arn:aws:lambda:*:*:function:llm", "arn:aws:lambda:*:*:function:llm-worker"]) && aws_lambda_function.worker[0].vpc_config[0].subnet_ids == toset(["subnet-1"])
    error_message = "The functions are not in the VPC, or their code may make network interfaces."
  }

  assert {
    condition     = length(aws_s3_object.configuration) == 0 && aws_lambda_function.this.environment[0].variables["PYTHONWARNINGS"] == "default"
    error_message = "There is a configuration that nobody reads, or a variable is missing."
  }
}
