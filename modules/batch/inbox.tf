# Uploads that start batches: an event of S3 for each, a schedule that looks for all, or both. A batch is made of an object once,
# however often the function is told of it.

locals {
  on_upload = var.inbox == null ? 0 : var.inbox.on_upload ? 1 : 0
  scheduled = try(var.inbox.schedule, null) == null ? 0 : 1
}

# An existing bucket's notifications are its owner's: S3 keeps one configuration of them.
resource "aws_s3_bucket_notification" "this" {
  count = local.on_upload * local.own_bucket

  bucket      = aws_s3_bucket.this[0].id
  eventbridge = true
}

resource "aws_cloudwatch_event_rule" "inbox" {
  count = local.on_upload

  name        = "${var.name}-inbox"
  description = "Uploads to the inbox of ${var.name}"
  tags        = local.tags

  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [local.bucket] }
      object = { key = [{ prefix = "${var.store.prefix}inbox/" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "inbox" {
  count = local.on_upload

  rule = aws_cloudwatch_event_rule.inbox[0].name
  arn  = aws_lambda_function.this["index"].arn

  depends_on = [aws_lambda_permission.inbox]
}

resource "aws_lambda_permission" "inbox" {
  count = local.on_upload

  statement_id  = "inbox"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["index"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.inbox[0].arn
}

data "aws_iam_policy_document" "schedule_assume" {
  count = local.scheduled

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    # Confused deputy: only schedules of this account may use the role.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  count = local.scheduled

  statement {
    sid       = "LookIntoInbox"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this["index"].arn]
  }
}

resource "aws_iam_role" "schedule" {
  count = local.scheduled

  name_prefix          = "${substr(var.name, 0, 31)}-inbox-"
  path                 = var.path
  description          = "May have the inbox of ${var.name} looked into"
  assume_role_policy   = data.aws_iam_policy_document.schedule_assume[0].json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy" "schedule" {
  count = local.scheduled

  name   = "schedule"
  role   = aws_iam_role.schedule[0].id
  policy = data.aws_iam_policy_document.schedule[0].json
}

resource "aws_scheduler_schedule" "inbox" {
  #checkov:skip=CKV_AWS_297:The schedule's input is one word, so there is nothing to encrypt.
  count = local.scheduled

  name                = "${var.name}-inbox"
  description         = "Looks for uploads in the inbox of ${var.name}"
  schedule_expression = var.inbox.schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["index"].arn
    role_arn = aws_iam_role.schedule[0].arn
    input    = jsonencode({ do = "intake" })
  }
}
