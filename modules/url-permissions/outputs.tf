output "principals" {
  description = "Who may call, as AWS stores it, by the names of `allowed_principals`."
  value       = { for key, permission in aws_lambda_permission.invoke : key => permission.principal }
}
