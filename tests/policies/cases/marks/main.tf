# Marked by a setting, by tags that are merged with a variable, by a tag with a typing error; other kinds of ours.
variable "tags" {
  type = map(string)
}

variable "memory" {
  type = number
}

locals {
  settings = { LAMBDA_LLM_MODEL = "s3://my-models/models/llama.gguf" }
}

resource "aws_lambda_function" "setting" {
  function_name = "setting"
  role          = "arn:aws:iam::123456789012:role/llm"
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = "10240"
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  environment {
    variables = merge(local.settings, { STAGE = "test" })
  }
}

resource "aws_lambda_function" "merged" {
  function_name = "merged"
  role          = "arn:aws:iam::123456789012:role/llm"
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = var.memory
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = merge(var.tags, { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" })
}

resource "aws_lambda_function" "mistyped" {
  function_name = "mistyped"
  role          = "arn:aws:iam::123456789012:role/llm"
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 512
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inferrence", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inferrence" }
}

resource "aws_lambda_function" "router" {
  function_name = "router"
  role          = "arn:aws:iam::123456789012:role/router"
  filename      = "router.zip"
  handler       = "router.handle"
  runtime       = "python3.12"

  environment {
    variables = { LAMBDA_LLM_ROUTES = "small,large" }
  }

  tags = { "lambda-llm" = "router", "lambda-llm:plane" = "orchestration", "lambda-llm:component" = "router" }
}

resource "aws_lambda_function" "pruner" {
  function_name = "pruner"
  role          = "arn:aws:iam::123456789012:role/pruner"
  filename      = "pruner.zip"
  handler       = "pruner.handle"
  runtime       = "python3.13"

  environment {
    variables = { FUNCTION_NAMES = jsonencode(["setting", "merged", "mistyped"]) }
  }

  tags = { "lambda-llm" = "version-pruner", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" }
}

# Without a tag, but with settings that only the queue worker reads.
resource "aws_lambda_function" "queue_worker" {
  function_name = "queue-worker"
  role          = "arn:aws:iam::123456789012:role/queue-worker"
  filename      = "queue-worker.zip"
  handler       = "lambda_llm.queue_worker.handler.handle"
  runtime       = "python3.13"
  memory_size   = 256

  environment {
    variables = {
      LAMBDA_LLM_QUEUE_FUNCTION       = "arn:aws:lambda:us-east-1:123456789012:function:llm:live"
      LAMBDA_LLM_QUEUE_ANSWER_SECONDS = "120"
    }
  }
}

# The same of what rolls a canary back.
resource "aws_lambda_function" "canary_rollback" {
  function_name = "canary-rollback"
  role          = "arn:aws:iam::123456789012:role/canary-rollback"
  filename      = "canary-rollback.zip"
  handler       = "lambda_llm.canary_rollback.handler.handle"
  runtime       = "python3.13"
  memory_size   = 256

  environment {
    variables = { LAMBDA_LLM_CANARY_VERSION = "7" }
  }
}

# Without a tag, but with settings that only the authorizer reads.
resource "aws_lambda_function" "authorizer" {
  function_name = "authorizer"
  role          = "arn:aws:iam::123456789012:role/authorizer"
  filename      = "authorizer.zip"
  handler       = "lambda_llm.authorizer.handler.handle"
  runtime       = "python3.13"
  memory_size   = 256

  environment {
    variables = { LAMBDA_LLM_AUTHORIZER_TABLE = "llm-keys" }
  }
}

# Without a tag, but with settings that only the router reads.
resource "aws_lambda_function" "router_worker" {
  function_name = "router-worker"
  role          = "arn:aws:iam::123456789012:role/router-worker"
  filename      = "router.zip"
  handler       = "lambda_llm.router.worker.handle"
  runtime       = "python3.13"
  memory_size   = 512

  environment {
    variables = { LAMBDA_LLM_ROUTER_CONFIGURATION = "s3://my-configurations/router.yaml" }
  }
}

# The same of the functions of batches.
resource "aws_lambda_function" "batch_worker" {
  function_name = "batch-worker"
  role          = "arn:aws:iam::123456789012:role/batch-worker"
  filename      = "batch.zip"
  handler       = "lambda_llm.batch.handler.handle"
  runtime       = "python3.13"
  memory_size   = 512

  environment {
    variables = { LAMBDA_LLM_BATCH_STORE = "s3://my-batches/" }
  }
}

# The same of what makes vectors of documents.
resource "aws_lambda_function" "documents" {
  function_name = "documents"
  role          = "arn:aws:iam::123456789012:role/documents"
  filename      = "documents.zip"
  handler       = "lambda_llm.documents.handler.handle"
  runtime       = "python3.13"
  memory_size   = 2048

  environment {
    variables = { LAMBDA_LLM_DOCUMENTS_SOURCE = "s3://my-documents/texts/" }
  }
}
