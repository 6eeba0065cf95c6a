# What a stack gets. Nothing is applied to an account; the local AWS does that in tests/.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat-pruner" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/chat-pruner-1" }
  }
}

variables {
  function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:chat"
  package      = { path = "tests/fixtures/function.zip" }
}

run "every_day" {
  assert {
    condition     = aws_lambda_function.this.function_name == "chat-pruner" && aws_lambda_function.this.handler == "lambda_llm.pruner.handler.handle" && aws_lambda_function.this.architectures == tolist(["arm64"])
    error_message = "The function is not the package's pruner."
  }

  assert {
    condition     = aws_lambda_function.this.tags["lambda-llm"] == "version-pruner"
    error_message = "The policies can't tell that the function's versions are pruned."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables == tomap({ LAMBDA_LLM_PRUNE_FUNCTION = var.function_arn, LAMBDA_LLM_PRUNE_KEEP_NEWEST = "1" })
    error_message = "The pruner is not told what to prune."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.pruner.statement : [statement.actions, statement.resources]]) == jsonencode([
      [["lambda:ListAliases", "lambda:ListVersionsByFunction"], [var.function_arn]],
      [["lambda:DeleteFunction"], ["${var.function_arn}:*"]],
    ])
    error_message = "The pruner may do something else than delete versions of that function."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.assume.statement[0].condition).values == tolist(["123456789012"])
    error_message = "The scheduler of another account could use the role."
  }

  assert {
    condition     = aws_scheduler_schedule.this[0].schedule_expression == "rate(1 day)" && aws_scheduler_schedule.this[0].target[0].arn == aws_lambda_function.this.arn
    error_message = "Nothing starts the pruner."
  }
}

run "on_demand" {
  variables {
    name        = "cleaner"
    schedule    = null
    keep_newest = 2
    package     = { manifest = "tests/fixtures/function.manifest.json", s3 = { bucket = "artifacts", key = "function.zip" } }
  }

  assert {
    condition     = length(aws_scheduler_schedule.this) + length(aws_iam_role.schedule) == 0 && output.function_name == "cleaner" && aws_lambda_function.this.environment[0].variables["LAMBDA_LLM_PRUNE_KEEP_NEWEST"] == "2"
    error_message = "Something starts the pruner, or it keeps another number of versions."
  }
}

run "where_roles_are_bounded" {
  variables {
    path                 = "/teams/search/"
    permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition     = aws_iam_role.schedule[0].path == "/teams/search/" && aws_iam_role.schedule[0].permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "The scheduler's role is not where, or not bounded as, it should be."
  }
}
