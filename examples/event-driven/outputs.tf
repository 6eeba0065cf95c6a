output "requests" {
  description = "URL of the queue for requests."
  value       = aws_sqs_queue.requests.id
}

output "answers" {
  description = "URL of the queue with the answers."
  value       = aws_sqs_queue.answers.id
}

output "dead_letters" {
  description = "URL of the queue with the messages that could not be answered."
  value       = aws_sqs_queue.dead_letters.id
}

output "worker_log_group" {
  description = "Name of the worker's log group, which says why a message failed."
  value       = module.worker.log_group_name
}

output "alias_arn" {
  description = "ARN of the alias that the worker invokes."
  value       = module.inference.alias_arn
}
