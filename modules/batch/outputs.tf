output "store" {
  description = "Address of the store, for the router and `lambda-llm batch`: s3://BUCKET/PREFIX."
  value       = local.store

  # Whoever has it may create batches.
  depends_on = [aws_s3_object.configuration, aws_sfn_state_machine.this]
}

output "bucket" {
  description = "Name of the store's bucket."
  value       = local.bucket
}

output "prefix" {
  description = "Prefix of the store in its bucket, empty or ending in a slash."
  value       = var.store.prefix
}

output "kms_key_arn" {
  description = "ARN of the KMS key of the store's bucket; null with S3's own encryption."
  value       = local.kms_key_arn
}

output "inbox" {
  description = "Address below which uploads start batches by themselves; null without `inbox`."
  value       = var.inbox == null ? null : "${local.store}inbox/"

  # Not before somebody is told of uploads.
  depends_on = [aws_s3_bucket_notification.this, aws_cloudwatch_event_target.inbox, aws_sfn_state_machine.this, aws_s3_object.configuration]
}

output "state_machine_arn" {
  description = "ARN of the state machine; an execution is a run of a batch."
  value       = aws_sfn_state_machine.this.arn
}

output "state_machine_name" {
  description = "Name of the state machine."
  value       = aws_sfn_state_machine.this.name
}

output "index" {
  description = "The function that indexes inputs, joins answers and takes uploads: `function_name`, `function_arn`, `role_name` and `log_group_name`."
  value = {
    function_name  = aws_lambda_function.this["index"].function_name
    function_arn   = aws_lambda_function.this["index"].arn
    role_name      = module.function["index"].role_name
    log_group_name = module.function["index"].log_group_name
  }
}

output "worker" {
  description = "The function that answers parts: `function_name`, `function_arn`, `role_name` and `log_group_name`."
  value = {
    function_name  = aws_lambda_function.this["worker"].function_name
    function_arn   = aws_lambda_function.this["worker"].arn
    role_name      = module.function["worker"].role_name
    log_group_name = module.function["worker"].log_group_name
  }
}

output "log_group_name" {
  description = "Name of the state machine's log group, which has failures."
  value       = aws_cloudwatch_log_group.machine.name
}

output "alarm_arns" {
  description = "ARNs of the alarms, by what they are about."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
}

output "bedrock_role_arn" {
  description = "ARN of the role that Bedrock takes for its jobs; null if it is not made here."
  value       = one(aws_iam_role.bedrock[*].arn)
}

output "router_policy_json" {
  description = "Policy of whoever has the Files and Batches API, for all tenants: the router."
  value       = data.aws_iam_policy_document.store["router"].json
}

output "submit_policy_json" {
  description = "Policy of whoever uses `lambda-llm batch`, for all tenants: the same, and uploads beside the Files API."
  value       = data.aws_iam_policy_document.store["submit"].json
}

output "inbox_policy_json" {
  description = "Policy of whoever puts inputs into the inbox, and may do nothing else."
  value       = data.aws_iam_policy_document.store["inbox"].json
}

output "job_policy_json" {
  description = "Policy for the role of GPU jobs: what they may read and write of the store."
  value       = data.aws_iam_policy_document.store["worker"].json
}
