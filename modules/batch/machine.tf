# The state machine of machine.asl.json, and what it may do.

locals {
  # AWS takes a state that waits for a job only of a role that may make the rule for it: without GPUs there is none.
  # https://docs.aws.amazon.com/step-functions/latest/dg/batch-iam.html
  has_jobs = length(local.gpu_backends) > 0

  template = jsondecode(templatefile("${path.module}/machine.asl.json", {
    partition = local.partition
    index     = aws_lambda_function.this["index"].arn
    worker    = aws_lambda_function.this["worker"].arn
    seconds   = var.days.work * 24 * 3600
  }))

  definition = jsonencode(merge(local.template, {
    States = {
      for name, state in local.template.States : name => name != "Indexed" ? state : merge(state, {
        Choices = [for choice in state.Choices : choice if local.has_jobs || choice.Next != "Jobs"]
      }) if local.has_jobs || name != "Jobs"
    }
  }))
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
  #checkov:skip=CKV_AWS_111:The actions for log deliveries, jobs and traces take no resource.
  #checkov:skip=CKV_AWS_356:The actions for log deliveries, jobs and traces take no resource.
  statement {
    sid       = "CallFunctions"
    actions   = ["lambda:InvokeFunction"]
    resources = [for function in aws_lambda_function.this : function.arn]
  }

  statement {
    sid       = "ReadParts"
    actions   = ["s3:GetObject"]
    resources = ["${local.bucket_arn}/${var.store.prefix}work/*/parts.jsonl"]
  }

  # https://github.com/aws/aws-cdk/issues/24799 has why they are written: nothing else keeps them out of the execution.
  statement {
    sid       = "WriteResults"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.bucket_arn}/${var.store.prefix}work/*/parts.jsonl-results/*"]
  }

  dynamic "statement" {
    for_each = local.kms_key_arn == null ? [] : [local.kms_key_arn]

    content {
      sid       = "UseKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  # The map's workers are executions of the state machine itself, whose names begin with the map's label.
  # https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
  statement {
    sid       = "StartWorkers"
    actions   = ["states:StartExecution"]
    resources = [local.machine_arn]
  }

  statement {
    sid       = "FollowWorkers"
    actions   = ["states:DescribeExecution", "states:StopExecution"]
    resources = [for end in [":*", "/Parts:*"] : "${replace(local.machine_arn, ":stateMachine:", ":execution:")}${end}"]
  }

  # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
  statement {
    sid = "DeliverLogs"
    actions = [
      "logs:CreateLogDelivery",
      "logs:DeleteLogDelivery",
      "logs:DescribeLogGroups",
      "logs:DescribeResourcePolicies",
      "logs:GetLogDelivery",
      "logs:ListLogDeliveries",
      "logs:PutResourcePolicy",
      "logs:UpdateLogDelivery",
    ]
    resources = ["*"]
  }

  # A definition without revision is the newest one.
  # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html
  dynamic "statement" {
    for_each = local.has_jobs ? [""] : []

    content {
      sid     = "StartJobs"
      actions = ["batch:SubmitJob"]
      resources = distinct(concat(local.gpu_backends[*].queue, flatten([
        for arn in local.gpu_backends[*].definition : can(regex(":[0-9]+$", arn)) ? [arn] : [arn, "${arn}:*"]
      ])))
    }
  }

  # Jobs get their ids when they are started, and DescribeJobs takes no resource.
  # https://docs.aws.amazon.com/step-functions/latest/dg/connect-batch.html
  dynamic "statement" {
    for_each = local.has_jobs ? [""] : []

    content {
      sid       = "FollowJobs"
      actions   = ["batch:DescribeJobs", "batch:TerminateJob"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = local.has_jobs ? [""] : []

    content {
      sid       = "WaitForJobs"
      actions   = ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
      resources = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/StepFunctionsGetEventsForBatchJobsRule"]
    }
  }

  # https://docs.aws.amazon.com/step-functions/latest/dg/xray-iam.html
  dynamic "statement" {
    for_each = var.tracing == "Active" ? [""] : []

    content {
      sid = "WriteTraces"
      actions = [
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
      ]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role" "machine" {
  name_prefix          = "${substr(var.name, 0, 29)}-machine-"
  path                 = var.path
  description          = "What the state machine ${var.name} may do"
  assume_role_policy   = data.aws_iam_policy_document.machine_assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "machine" {
  name   = "machine"
  role   = aws_iam_role.machine.id
  policy = data.aws_iam_policy_document.machine.json
}

# Names that begin so share one resource policy of CloudWatch's, whose length is limited.
# https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
resource "aws_cloudwatch_log_group" "machine" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts every log group; var.log_kms_key_arn sets a customer managed key.
  name              = "/aws/vendedlogs/states/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags
}

resource "aws_sfn_state_machine" "this" {
  #checkov:skip=CKV_AWS_284:The deployer chooses whether executions are traced: var.tracing.
  #checkov:skip=CKV_AWS_285:Failures are logged, without inputs and outputs, which would name tenants; the history has each step.
  name       = var.name
  type       = "STANDARD"
  role_arn   = aws_iam_role.machine.arn
  definition = local.definition

  logging_configuration {
    log_destination        = "${trimsuffix(aws_cloudwatch_log_group.machine.arn, ":*")}:*"
    include_execution_data = false
    level                  = "ERROR"
  }

  tracing_configuration {
    enabled = var.tracing == "Active"
  }

  tags = local.tags

  # AWS tries what the role may do.
  depends_on = [aws_iam_role_policy.machine]
}
