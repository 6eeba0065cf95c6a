output "url" {
  description = "The one address, for any OpenAI client that signs requests with AWS credentials."
  value       = module.router.url
}

output "configuration" {
  description = "The router's configuration, for `lambda-llm router check` and `explain`."
  value       = yamlencode(local.configuration)
}

output "caller_policy" {
  description = "Policy for whoever sends requests: the URL, and nothing else."
  value       = module.router.invoke_policy_json
}

output "table" {
  description = "Name of the table of budgets, for `lambda-llm router budgets`."
  value       = module.router.table.name
}

output "log_group" {
  description = "Name of the router's log group."
  value       = module.router.log_group_name
}

output "background" {
  description = "Where background responses wait, and where their answers are."
  value       = module.router.background
}

output "dashboard" {
  description = "Name of the dashboard in CloudWatch."
  value       = module.observability.dashboard_name
}
