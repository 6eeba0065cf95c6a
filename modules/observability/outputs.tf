output "dashboard_name" {
  description = "Name of the dashboard; null where there is none."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}

output "dashboard_body" {
  description = "The dashboard as JSON, for one of your own."
  value       = jsonencode(local.body)
}

output "alarm_arns" {
  description = "ARNs of the alarms, by name without the prefix."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
}

output "queries" {
  description = "The saved queries' texts, by name."
  value       = { for name, query in aws_cloudwatch_query_definition.this : name => query.query_string }
}
