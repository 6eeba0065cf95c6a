# Further ways of giving a role too much, or just enough.
resource "aws_lambda_function" "point" {
  function_name = "point"
  role          = aws_iam_role.point.arn
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

resource "aws_iam_role" "point" {
  name               = "point"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "point" {
  role = aws_iam_role.point.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:us-east-1:123456789012:accesspoint/reader/object/*" },
    ]
  })
}

resource "aws_lambda_function" "point_any" {
  function_name = "point_any"
  role          = aws_iam_role.point_any.arn
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

resource "aws_iam_role" "point_any" {
  name               = "point_any"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "point_any" {
  role = aws_iam_role.point_any.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:us-east-1:123456789012:accesspoint/*" },
    ]
  })
}

resource "aws_lambda_function" "point_models" {
  function_name = "point_models"
  role          = aws_iam_role.point_models.arn
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

resource "aws_iam_role" "point_models" {
  name               = "point_models"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "point_models" {
  role = aws_iam_role.point_models.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:us-east-1:123456789012:accesspoint/reader/object/models/*" },
    ]
  })
}

resource "aws_lambda_function" "point_good" {
  function_name = "point_good"
  role          = aws_iam_role.point_good.arn
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

resource "aws_iam_role" "point_good" {
  name               = "point_good"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "point_good" {
  role = aws_iam_role.point_good.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:us-east-1:123456789012:accesspoint/reader/object/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
    ]
  })
}

resource "aws_lambda_function" "unequal" {
  function_name = "unequal"
  role          = aws_iam_role.unequal.arn
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

resource "aws_iam_role" "unequal" {
  name               = "unequal"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "unequal" {
  role = aws_iam_role.unequal.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObjectVersion", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { StringNotEquals = { "s3:VersionId" = "1" } } },
    ]
  })
}

resource "aws_lambda_function" "unlike" {
  function_name = "unlike"
  role          = aws_iam_role.unlike.arn
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

resource "aws_iam_role" "unlike" {
  name               = "unlike"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "unlike" {
  role = aws_iam_role.unlike.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObjectVersion", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { StringLike = { "s3:VersionId" = "*" } } },
    ]
  })
}

resource "aws_lambda_function" "if_exists" {
  function_name = "if_exists"
  role          = aws_iam_role.if_exists.arn
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

resource "aws_iam_role" "if_exists" {
  name               = "if_exists"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "if_exists" {
  role = aws_iam_role.if_exists.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { StringEqualsIfExists = { "s3:VersionId" = "1" } } },
    ]
  })
}

resource "aws_lambda_function" "for_all" {
  function_name = "for_all"
  role          = aws_iam_role.for_all.arn
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

resource "aws_iam_role" "for_all" {
  name               = "for_all"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "for_all" {
  role = aws_iam_role.for_all.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObjectVersion", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { "ForAllValues:StringEquals" = { "s3:VersionId" = "1" } } },
    ]
  })
}

resource "aws_lambda_function" "other_key" {
  function_name = "other_key"
  role          = aws_iam_role.other_key.arn
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

resource "aws_iam_role" "other_key" {
  name               = "other_key"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "other_key" {
  role = aws_iam_role.other_key.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObjectVersion", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { StringEquals = { "aws:PrincipalTag/s3:VersionId" = "1" } } },
    ]
  })
}

resource "aws_lambda_function" "equal_good" {
  function_name = "equal_good"
  role          = aws_iam_role.equal_good.arn
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

resource "aws_iam_role" "equal_good" {
  name               = "equal_good"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "equal_good" {
  role = aws_iam_role.equal_good.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" },
      { Effect = "Allow", Action = "s3:GetObjectVersion", Resource = "arn:aws:s3:::my-models/models/b.gguf", Condition = { StringEquals = { "S3:versionid" = ["1", "2"] } } },
    ]
  })
}

resource "aws_lambda_function" "prefix" {
  function_name = "prefix"
  role          = aws_iam_role.prefix.arn
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

resource "aws_iam_role" "prefix" {
  name               = "prefix"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "prefix" {
  role = aws_iam_role.prefix.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a*" },
    ]
  })
}

resource "aws_lambda_function" "question" {
  function_name = "question"
  role          = aws_iam_role.question.arn
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

resource "aws_iam_role" "question" {
  name               = "question"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "question" {
  role = aws_iam_role.question.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/?.gguf" },
    ]
  })
}

resource "aws_lambda_function" "any_bucket" {
  function_name = "any_bucket"
  role          = aws_iam_role.any_bucket.arn
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

resource "aws_iam_role" "any_bucket" {
  name               = "any_bucket"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "any_bucket" {
  role = aws_iam_role.any_bucket.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::*/models/a.gguf" },
    ]
  })
}

resource "aws_lambda_function" "partly_bucket" {
  function_name = "partly_bucket"
  role          = aws_iam_role.partly_bucket.arn
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

resource "aws_iam_role" "partly_bucket" {
  name               = "partly_bucket"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "partly_bucket" {
  role = aws_iam_role.partly_bucket.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-*" },
    ]
  })
}

resource "aws_lambda_function" "any_service" {
  function_name = "any_service"
  role          = aws_iam_role.any_service.arn
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

resource "aws_iam_role" "any_service" {
  name               = "any_service"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "any_service" {
  role = aws_iam_role.any_service.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:*:::my-models/models/a.gguf" },
    ]
  })
}

resource "aws_lambda_function" "bare" {
  function_name = "bare"
  role          = aws_iam_role.bare.arn
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

resource "aws_iam_role" "bare" {
  name               = "bare"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "bare" {
  role = aws_iam_role.bare.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models" },
    ]
  })
}

resource "aws_lambda_function" "partition_good" {
  function_name = "partition_good"
  role          = aws_iam_role.partition_good.arn
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

resource "aws_iam_role" "partition_good" {
  name               = "partition_good"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "partition_good" {
  role = aws_iam_role.partition_good.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:*:s3:::my-models/models/a.gguf" },
    ]
  })
}

resource "aws_lambda_function" "keys_good" {
  function_name = "keys_good"
  role          = aws_iam_role.keys_good.arn
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

resource "aws_iam_role" "keys_good" {
  name               = "keys_good"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "keys_good" {
  role = aws_iam_role.keys_good.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:GetObject", "kms:Decrypt"], Resource = ["arn:aws:s3:::my-models/models/a.gguf", "arn:aws:kms:us-east-1:123456789012:key/*"] },
    ]
  })
}

resource "aws_lambda_function" "execute" {
  function_name = "execute"
  role          = aws_iam_role.execute.arn
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

resource "aws_iam_role" "execute" {
  name               = "execute"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy_attachment" "execute" {
  role       = aws_iam_role.execute.name
  policy_arn = "arn:aws:iam::aws:policy/AWSLambdaExecute"
}

resource "aws_lambda_function" "many" {
  function_name = "many"
  role          = aws_iam_role.many.arn
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

resource "aws_iam_role" "many" {
  name               = "many"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_policy_attachment" "many" {
  name       = "many"
  roles      = [aws_iam_role.many.name]
  policy_arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
}

resource "aws_lambda_function" "exclusive" {
  function_name = "exclusive"
  role          = aws_iam_role.exclusive.arn
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

resource "aws_iam_role" "exclusive" {
  name               = "exclusive"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy_attachments_exclusive" "exclusive" {
  role_name   = aws_iam_role.exclusive.name
  policy_arns = ["arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole", "arn:aws:iam::aws:policy/PowerUserAccess"]
}

resource "aws_lambda_function" "fine" {
  function_name = "fine"
  role          = aws_iam_role.fine.arn
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

resource "aws_iam_role" "fine" {
  name               = "fine"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_policy_attachment" "fine" {
  name       = "fine"
  roles      = [aws_iam_role.fine.name]
  policy_arn = "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess"
}

resource "aws_lambda_function" "by_name" {
  function_name = "by_name"
  role          = aws_iam_role.by_name.arn
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

resource "aws_iam_role" "by_name" {
  name               = "by_name"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_policy" "by_name" {
  name   = "reads-everything"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }] })
}

resource "aws_iam_policy_attachment" "by_name" {
  name       = "by-name"
  roles      = [aws_iam_role.by_name.name]
  policy_arn = "arn:aws:iam::123456789012:policy/reads-everything"
}

resource "aws_lambda_function" "granted" {
  function_name = "granted"
  role          = aws_iam_role.granted.arn
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

resource "aws_iam_role" "granted" {
  name               = "granted"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_s3_bucket_policy" "granted" {
  bucket = "my-models"

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::123456789012:role/granted" }, Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/*" }]
  })
}

resource "aws_s3_bucket_policy" "granted_good" {
  bucket = "my-models"

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = ["arn:aws:iam::123456789012:role/granted"] }, Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/models/a.gguf" }]
  })
}

resource "aws_s3_bucket_policy" "granted_others" {
  bucket = "my-models"

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::123456789012:role/others" }, Action = "s3:GetObject", Resource = "arn:aws:s3:::my-models/*" }]
  })
}

resource "aws_s3control_access_point_policy" "granted_point" {
  access_point_arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/reader"

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::123456789012:role/granted" }, Action = "s3:GetObject", Resource = "arn:aws:s3:us-east-1:123456789012:accesspoint/reader/object/*" }]
  })
}

resource "aws_lambda_function" "referred" {
  function_name = "referred"
  role          = aws_iam_role.referred.arn
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

resource "aws_iam_role" "referred" {
  name               = "referred"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_s3_bucket_policy" "referred" {
  bucket = "my-models"
  policy = data.aws_iam_policy_document.referred.json
}

data "aws_iam_policy_document" "referred" {
  statement {
    actions   = ["s3:GetObject"]
    resources = ["arn:aws:s3:::my-models/*"]

    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.referred.arn]
    }
  }
}

resource "aws_lambda_function" "public" {
  function_name = "public"
  role          = "arn:aws:iam::123456789012:role/public"
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
    variables = { LAMBDA_LLM_MODEL = "s3://public-models/models/a.gguf" }
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_s3_bucket_policy" "public" {
  bucket = "public-models"

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = "*", Action = "s3:GetObject", Resource = "arn:aws:s3:::public-models/*" }]
  })
}

# Names them all, so that this is about the rest alone.
resource "aws_lambda_function" "pruner" {
  function_name = "pruner"
  role          = "arn:aws:iam::123456789012:role/pruner"
  filename      = "pruner.zip"
  handler       = "pruner.handle"
  runtime       = "python3.13"

  environment {
    variables = { FUNCTION_NAMES = "point point_any point_models point_good unequal unlike if_exists for_all other_key equal_good prefix question any_bucket partly_bucket any_service bare partition_good keys_good execute many exclusive fine by_name granted referred public" }
  }

  tags = { "lambda-llm" = "version-pruner", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" }
}
