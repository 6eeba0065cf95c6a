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
    defaults = { version = "7", arn = "arn:aws:lambda:eu-central-1:123456789012:function:research" }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:research:live" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/research-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/research" }
  }
}

variables {
  name      = "research"
  package   = { path = "tests/fixtures/function.zip" }
  inference = { alias_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live" }
  state     = { bucket = "my-state", prefix = "state/" }
}

run "an_agent" {
  assert {
    condition     = aws_lambda_function.this.function_name == "research" && aws_lambda_function.this.handler == "lambda_llm.agent.handler.handle" && aws_lambda_function.this.architectures == tolist(["arm64"]) && aws_lambda_function.this.memory_size == 1769 && aws_lambda_function.this.timeout == 900
    error_message = "The function is not the package's agent."
  }

  assert {
    condition     = aws_lambda_function.this.publish && aws_lambda_alias.live.function_version == "7" && aws_lambda_alias.live.name == "live" && output.alias_arn == aws_lambda_alias.live.arn
    error_message = "Executions don't begin with a version, so that a deployment would change those that run."
  }

  assert {
    condition     = aws_lambda_function.this.tags["lambda-llm"] == "durable-agent"
    error_message = "The policies can't tell that this is a durable agent."
  }

  assert {
    condition = aws_lambda_function.this.environment[0].variables == tomap({
      LAMBDA_LLM_AGENT           = "research:agent"
      LAMBDA_LLM_AGENT_INFERENCE = "arn:aws:lambda:eu-central-1:123456789012:function:chat:live"
      LAMBDA_LLM_STATE           = "s3://my-state/state/"
    })
    error_message = "The function is not told which agent it is, what it asks, or where its state is."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.agent.statement : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["KeepHistory", ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"], ["arn:aws:lambda:eu-central-1:123456789012:function:research", "arn:aws:lambda:eu-central-1:123456789012:function:research:*"]],
      ["AskModel", ["lambda:InvokeFunction"], ["arn:aws:lambda:eu-central-1:123456789012:function:chat:live"]],
      ["KeepState", ["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::my-state/state/*"]],
      ["LookForState", ["s3:ListBucket"], ["arn:aws:s3:::my-state"]],
    ])
    error_message = "The agent may do something else than keep its history and state, and ask its model."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.agent.statement[3].condition).values == tolist(["state/*"])
    error_message = "The agent may list what is not its own."
  }

  assert {
    condition     = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.metric_name } == { failed = "DurableExecutionFailed", throttled = "Throttles", timed-out = "DurableExecutionTimedOut" } && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions == tomap({ FunctionName = "research" }) && length(alarm.alarm_actions) == 0])
    error_message = "The alarms are not those of this function's executions."
  }
}

run "with_everything" {
  variables {
    agent             = "mine:assistant"
    package           = { manifest = "tests/fixtures/nobody.manifest.json", s3 = { bucket = "artifacts", key = "agent.zip" } }
    state             = { bucket = "my-state", prefix = "state/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
    gateways          = ["arn:aws:bedrock-agentcore:eu-central-1:123456789012:gateway/tools-abcdefghij"]
    code_interpreters = ["arn:aws:bedrock-agentcore:eu-central-1:aws:code-interpreter/aws.codeinterpreter.v1"]
    secrets           = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:token-AbCdEf"]
    layers            = ["arn:aws:lambda:eu-central-1:123456789012:layer:mine:3"]
    environment       = { SEARCH_URL = "https://search.example.com/mcp" }
    topic_arn         = "arn:aws:sns:eu-central-1:123456789012:on-call"
  }

  assert {
    condition = jsonencode([for statement in slice(tolist(data.aws_iam_policy_document.agent.statement), 4, 8) : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["EncryptState", ["kms:Decrypt", "kms:GenerateDataKey"], [var.state.kms_key_arn]],
      ["UseTools", ["bedrock-agentcore:InvokeGateway"], var.gateways],
      ["RunCode", ["bedrock-agentcore:GetCodeInterpreterSession", "bedrock-agentcore:InvokeCodeInterpreter", "bedrock-agentcore:StartCodeInterpreterSession", "bedrock-agentcore:StopCodeInterpreterSession"], var.code_interpreters],
      ["ReadSecrets", ["secretsmanager:GetSecretValue"], var.secrets],
    ]) && length(data.aws_iam_policy_document.agent.statement) == 8
    error_message = "The agent may not, or not only, use what it was given."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_AGENT"] == "mine:assistant" && aws_lambda_function.this.environment[0].variables["SEARCH_URL"] == "https://search.example.com/mcp" && output.agent == "mine:assistant"
    error_message = "The function is not told which agent in the layer it is."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:on-call"])])
    error_message = "The alarms don't notify the topic."
  }
}
