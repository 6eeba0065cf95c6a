output "url" {
  description = "Function URL of the model."
  value       = module.inference.url
}

output "chat" {
  description = "Command to chat with the model."
  value       = "lambda-llm chat ${module.inference.url}v1"
}

output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}
