# An inline skip says why.
resource "aws_lambda_function" "small" {
  #checkov:skip=CKV_LLM_1:A model of some megabytes, for tests of our own
  #checkov:skip=CKV_LLM_15:The pruner of the whole account runs in another stack
  function_name = "small"
  role          = "arn:aws:iam::123456789012:role/llm"
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 1024
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}
