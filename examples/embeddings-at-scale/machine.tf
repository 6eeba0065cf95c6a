# The state machine: prepare, create a batch, wait for its end, export. What one step returns as `state` is what the next gets;
# `step` says which one that is.

locals {
  # Errors of the settings or of the batch itself, which another attempt does not change.
  final = { ErrorEquals = ["DocumentsSettingsError", "BatchEndedError"], MaxAttempts = 0 }
  again = {
    ErrorEquals     = ["States.ALL"]
    IntervalSeconds = 2
    MaxAttempts     = 5
    BackoffRate     = 2
    MaxDelaySeconds = 60
    JitterStrategy  = "FULL"
  }

  # Every step may be repeated, and each is followed by a state of its own that looks at what it returned.
  steps = {
    for step, next in { prepare = "Prepared", create = "Wait", poll = "Polled", export = "Exported" } : step => {
      Type                      = "Task"
      Resource                  = "arn:${local.partition}:states:::lambda:invoke"
      Parameters = {
        FunctionName = aws_lambda_function.documents.arn
        Payload      = { "do" = step, "run.$" = "$$.Execution.Name", "state.$" = "$.state" }
      }
      OutputPath     = "$.Payload"
      TimeoutSeconds = 960
      Retry          = [local.final, local.again]
      Next           = next
    }
  }

  definition = {
    Comment = "Documents to vectors. The function keeps texts and vectors in S3; an execution carries how far it has come."
    StartAt = "Begin"
    States = {
      Begin   = { Type = "Pass", Result = { state = {} }, Next = "Prepare" }
      Prepare = local.steps.prepare
      Prepared = {
        Type = "Choice"
        Choices = [
          { Variable = "$.step", StringEquals = "prepare", Next = "Prepare" },
          { Variable = "$.step", StringEquals = "create", Next = "Create" },
        ]
        Default = "Done" # no document has a text
      }
      Create = local.steps.create
      Wait   = { Type = "Wait", Seconds = var.wait_seconds, Next = "Poll" }
      Poll   = local.steps.poll
      Polled = {
        Type    = "Choice"
        Choices = [{ Variable = "$.step", StringEquals = "wait", Next = "Wait" }]
        Default = "Export"
      }
      Export = local.steps.export
      Exported = {
        Type    = "Choice"
        Choices = [{ Variable = "$.step", StringEquals = "export", Next = "Export" }]
        Default = "Done"
      }
      Done = { Type = "Succeed", OutputPath = "$.state" }
    }
  }
}

data "aws_iam_policy_document" "machine_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["states.amazonaws.com"]
    }

    # Confused deputy: only state machines of this account may use the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "machine" {
  statement {
    sid       = "CallFunction"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.documents.arn]
  }
}

resource "aws_iam_role" "machine" {
  name_prefix        = "${substr(var.name, 0, 29)}-machine-"
  description        = "What the state machine ${var.name} may do"
  assume_role_policy = data.aws_iam_policy_document.machine_assume.json
}

resource "aws_iam_role_policy" "machine" {
  name   = "machine"
  role   = aws_iam_role.machine.id
  policy = data.aws_iam_policy_document.machine.json
}

resource "aws_sfn_state_machine" "this" {
  #checkov:skip=CKV_AWS_284:The history has each step of an execution.
  #checkov:skip=CKV_AWS_285:A standard execution keeps its history for 90 days, and the function logs what it did.
  name       = var.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.machine.arn
  definition = jsonencode(local.definition)

  # AWS tries what the role may do.
  depends_on = [aws_iam_role_policy.machine]
}
