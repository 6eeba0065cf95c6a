output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function without a version; ask the alias instead."
  value       = aws_lambda_function.this.arn
}

output "alias_name" {
  description = "Name of the alias through which all traffic goes."
  value       = aws_lambda_alias.live.name
}

output "alias_arn" {
  description = "ARN of the alias."
  value       = aws_lambda_alias.live.arn
}

output "qualified_arn" {
  description = "ARN of the newest published version."
  value       = aws_lambda_function.this.qualified_arn
}

output "version" {
  description = "Number of the newest published version."
  value       = aws_lambda_function.this.version
}

output "url" {
  description = "Function URL of the alias: the address of every model, for any OpenAI client that signs requests with AWS credentials; null with `identity = \"authorizer\"`."
  value       = one(aws_lambda_function_url.live[*].function_url)
}

output "invoke_policy_json" {
  description = "Policy for whoever sends requests to the URL, and in no other way; null with `identity = \"authorizer\"`. For other accounts, use the module url-permissions."
  value       = one(data.aws_iam_policy_document.invoke[*].json)
}

output "configuration" {
  description = "Address of the configuration, as the router reads it."
  value       = local.configuration
}

output "table" {
  description = "The table of budgets: `name` for `lambda-llm router budgets`, and `arn`."
  value       = { name = local.table_name, arn = local.table_arn }
}

output "background" {
  description = "Of background requests: where the answers are (`results`), the `queue_url`, the `dead_letter_queue_url` and `dead_letter_queue_name` of what could not be answered, and the worker's `function_name`, `role_name` and `log_group_name`. Null without `background`."
  value = var.background == null ? null : {
    results                = local.settings["LAMBDA_LLM_ROUTER_RESULTS"]
    queue_url              = aws_sqs_queue.background[0].id
    dead_letter_queue_url  = aws_sqs_queue.dead_letters[0].id
    dead_letter_queue_name = aws_sqs_queue.dead_letters[0].name
    function_name          = aws_lambda_function.worker[0].function_name
    role_name              = module.worker[0].role_name
    log_group_name         = module.worker[0].log_group_name
  }

  # Not before somebody takes what is sent.
  depends_on = [aws_lambda_event_source_mapping.background]
}

output "role_arn" {
  description = "ARN of the function's role."
  value       = module.function.role_arn
}

output "role_name" {
  description = "Name of the function's role, for policies of further backends; the worker's is in `background`."
  value       = module.function.role_name
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = module.function.log_group_name
}

output "log_group_arn" {
  description = "ARN of the function's log group."
  value       = module.function.log_group_arn
}
