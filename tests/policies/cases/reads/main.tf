# Roles of inference functions, one a way of giving too much, or just enough.

resource "aws_lambda_function" "action" {
  function_name = "action"
  role          = aws_iam_role.action.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "action" {
  name               = "action"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "action" {
  role = aws_iam_role.action.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:Get*", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
    ]
  })
}

resource "aws_lambda_function" "folder" {
  function_name = "folder"
  role          = aws_iam_role.folder.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "folder" {
  name               = "folder"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "folder" {
  role = aws_iam_role.folder.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = ["arn:aws:s3:::my-models/models/*"] },
    ]
  })
}

resource "aws_lambda_function" "inverted" {
  function_name = "inverted"
  role          = aws_iam_role.inverted.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "inverted" {
  name               = "inverted"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "inverted" {
  role = aws_iam_role.inverted.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", NotResource = "arn:aws:s3:::secret/*" },
    ]
  })
}

resource "aws_lambda_function" "two" {
  function_name = "two"
  role          = aws_iam_role.two.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "two" {
  name               = "two"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "two" {
  role = aws_iam_role.two.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = ["arn:aws:s3:::my-models/models/a.gguf", "arn:aws:s3:::my-models/models/b.gguf"] },
    ]
  })
}

resource "aws_lambda_function" "pinned" {
  function_name = "pinned"
  role          = aws_iam_role.pinned.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "pinned" {
  name               = "pinned"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "pinned" {
  role = aws_iam_role.pinned.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObjectVersion", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { StringEquals = { "s3:VersionId" = "1" } } },
    ]
  })
}

resource "aws_lambda_function" "state" {
  function_name = "state"
  role          = aws_iam_role.state.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "state" {
  name               = "state"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "state" {
  role = aws_iam_role.state.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "arn:aws:s3:::my-state/sessions/*" },
    ]
  })
}

resource "aws_lambda_function" "denied" {
  function_name = "denied"
  role          = aws_iam_role.denied.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "denied" {
  name               = "denied"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "denied" {
  role = aws_iam_role.denied.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Deny", Action = "s3:*", Resource = "arn:aws:s3:::secret/*" },
    ]
  })
}

resource "aws_lambda_function" "nothing" {
  function_name = "nothing"
  role          = aws_iam_role.nothing.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "nothing" {
  name               = "nothing"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "nothing" {
  role = aws_iam_role.nothing.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "logs:PutLogEvents", Resource = "*" },
    ]
  })
}

resource "aws_lambda_function" "attached" {
  function_name = "attached"
  role          = aws_iam_role.attached.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "attached" {
  name               = "attached"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_policy" "attached" {
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] })
}

resource "aws_iam_role_policy_attachment" "attached" {
  role       = aws_iam_role.attached.name
  policy_arn = aws_iam_policy.attached.arn
}

resource "aws_lambda_function" "aws" {
  function_name = "aws"
  role          = aws_iam_role.aws.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "aws" {
  name               = "aws"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy_attachment" "aws" {
  role       = aws_iam_role.aws.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
}

resource "aws_lambda_function" "logs" {
  function_name = "logs"
  role          = aws_iam_role.logs.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "logs" {
  name               = "logs"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.logs.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_lambda_function" "nested" {
  function_name = "nested"
  role          = aws_iam_role.nested.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "nested" {
  name = "nested"

  inline_policy {
    name   = "models"
    policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/*" }] })
  }

  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_lambda_function" "document" {
  function_name = "document"
  role          = aws_iam_role.document.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "document" {
  name               = "document"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "document" {
  role   = aws_iam_role.document.id
  policy = data.aws_iam_policy_document.outer.json
}

data "aws_iam_policy_document" "outer" {
  source_policy_documents = [data.aws_iam_policy_document.inner.json]

  statement {
    actions   = ["s3:GetObject"]
    resources = ["arn:aws:s3:::my-models/models/a.gguf"]
  }
}

data "aws_iam_policy_document" "inner" {
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.models.arn}/*"]
  }
}

resource "aws_s3_bucket" "models" {
  bucket = "my-models"
}

resource "aws_lambda_function" "prompted" {
  function_name = "prompted"
  role          = aws_iam_role.prompted.arn
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  environment {
    variables = {
      LAMBDA_LLM_MODEL          = "s3://my-models/models/a.gguf"
      LAMBDA_LLM_SYSTEM_PROMPTS = jsonencode(["s3://my-models/prompts/polite.txt", "s3://my-models/prompts/terse.txt"])
    }
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_iam_role" "prompted" {
  name               = "prompted"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "prompted" {
  role = aws_iam_role.prompted.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObject", Resource = ["arn:aws:s3:::my-models/prompts/polite.txt", "arn:aws:s3:::my-models/prompts/terse.txt"] },
    ]
  })
}

# Names them all, so that this is about reads alone.
resource "aws_lambda_function" "pruner" {
  function_name = "pruner"
  role          = "arn:aws:iam::123456789012:role/pruner"
  filename      = "pruner.zip"
  handler       = "pruner.handle"
  runtime       = "python3.13"

  environment {
    variables = { FUNCTION_NAMES = "action folder inverted two pinned state denied nothing attached aws logs nested document prompted" }
  }

  tags = { "lambda-llm" = "version-pruner", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" }
}
