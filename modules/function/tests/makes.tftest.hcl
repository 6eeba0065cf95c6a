# What a module gets. Nothing is applied to an account; the local AWS does that in tests/.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-1" }
  }
}

variables {
  name             = "chat"
  function         = "inference"
  mark             = "inference"
  package          = { path = "tests/fixtures/function.zip" }
  role_description = "What the inference function chat may do"
}

run "the_least_that_must_be_said" {
  assert {
    condition     = output.filename == "tests/fixtures/function.zip" && output.s3_bucket == null && output.s3_key == null && output.s3_object_version == null
    error_message = "The function is not made of the zip on this machine."
  }

  assert {
    condition     = output.source_code_hash == "mGTxmeDh86ESQAP3fM2o6sEH3fLJ0axo/k6ZbZ1dDlo=" && output.handler == "lambda_llm.inference.handler.handle" && output.exec_wrapper == "bin/serve" && output.runtime == "python3.13" && output.architectures == ["arm64"]
    error_message = "What the manifest says did not arrive."
  }

  assert {
    condition     = output.log_group_name == "/aws/lambda/chat" && aws_cloudwatch_log_group.this[0].retention_in_days == 365 && aws_cloudwatch_log_group.this[0].kms_key_id == null
    error_message = "Logs are not kept as they should be."
  }

  assert {
    condition     = aws_iam_role.this[0].name_prefix == "chat-" && aws_iam_role.this[0].path == "/" && aws_iam_role.this[0].permissions_boundary == null && output.role_arn == "arn:aws:iam::123456789012:role/chat-1"
    error_message = "The role is another than the function's."
  }

  assert {
    condition     = data.aws_iam_policy_document.assume.statement[0].principals == toset([{ type = "Service", identifiers = toset(["lambda.amazonaws.com"]) }])
    error_message = "Somebody else than Lambda may take on the role."
  }

  assert {
    condition = [for statement in data.aws_iam_policy_document.logs.statement : [statement.sid, statement.actions, statement.resources]] == [
      ["WriteLogs", toset(["logs:CreateLogStream", "logs:PutLogEvents"]), toset(["${aws_cloudwatch_log_group.this[0].arn}:*"])],
    ]
    error_message = "The role may do something else than write its log."
  }

  assert {
    condition     = output.tags == { lambda-llm = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" } && length(aws_iam_role.this[0].tags) == 2
    error_message = "The function lacks its mark, or something else has it."
  }
}

run "everything_that_can_be_said" {
  variables {
    name                 = "chat-pruner"
    function             = "pruner"
    mark                 = "version-pruner"
    path                 = "/teams/search/"
    permissions_boundary = "arn:aws:iam::123456789012:policy/teams/boundary"
    log_retention_days   = 30
    log_kms_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/77777777-2222-3333-4444-555555555555"
    tags                 = { team = "search" }
    package = {
      manifest = "tests/fixtures/pruner.manifest.json"
      s3       = { bucket = "artifacts", key = "pruner.zip", version_id = "1" }
    }
  }

  assert {
    condition     = output.filename == null && output.s3_bucket == "artifacts" && output.s3_key == "pruner.zip" && output.s3_object_version == "1"
    error_message = "The function is not made of the uploaded zip."
  }

  assert {
    condition     = output.handler == "lambda_llm.pruner.handler.handle" && output.exec_wrapper == ""
    error_message = "The function is not the one of its manifest."
  }

  assert {
    condition     = aws_iam_role.this[0].path == "/teams/search/" && aws_iam_role.this[0].permissions_boundary == "arn:aws:iam::123456789012:policy/teams/boundary"
    error_message = "The role is not where, or not bounded as, it should be."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this[0].retention_in_days == 30 && aws_cloudwatch_log_group.this[0].kms_key_id == var.log_kms_key_arn
    error_message = "Logs are not kept as they should be."
  }

  assert {
    condition     = output.tags == { team = "search", lambda-llm = "version-pruner", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" } && aws_iam_role.this[0].tags == tomap({ team = "search", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" }) && aws_cloudwatch_log_group.this[0].tags == aws_iam_role.this[0].tags
    error_message = "A tag is missing, or the mark is where it should not be."
  }
}

run "with_a_role_and_a_log_group_of_the_stack" {
  variables {
    role      = { name = "mine", arn = "arn:aws:iam::123456789012:role/teams/mine", path = "/teams/" }
    log_group = { name = "/mine", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/mine:*", retention_in_days = 7 }
    package = {
      manifest    = "tests/fixtures/function.manifest.json"
      s3          = { bucket = "artifacts", key = "signed.zip" }
      code_sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    }
  }

  assert {
    condition     = length(aws_iam_role.this) + length(aws_iam_role_policy.logs) + length(aws_cloudwatch_log_group.this) == 0 && output.role_id == null
    error_message = "What exists is created again."
  }

  assert {
    condition     = output.role_arn == "arn:aws:iam::123456789012:role/teams/mine" && output.role_name == "mine" && output.log_group_name == "/mine" && output.log_group_arn == "arn:aws:logs:eu-central-1:123456789012:log-group:/mine"
    error_message = "The function does not get the role and the log group of the stack."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.logs.statement).resources == toset(["arn:aws:logs:eu-central-1:123456789012:log-group:/mine:*"]) && output.log_policy_json == "{}"
    error_message = "The policy that the role needs is not for its log group."
  }

  assert {
    condition     = output.source_code_hash == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    error_message = "A signed zip is taken for the one that was built."
  }
}
