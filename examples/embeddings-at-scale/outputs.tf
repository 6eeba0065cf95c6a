output "state_machine" {
  description = "ARN of the state machine; an execution is a run."
  value       = aws_sfn_state_machine.this.arn
}

output "batches" {
  description = "ARN of the batches' state machine."
  value       = module.batch.state_machine_arn
}

output "store" {
  description = "Where the batches are, for `lambda-llm batch`."
  value       = module.batch.store
}

output "log_group" {
  description = "Name of the function's log group, which says what each step did."
  value       = module.documents.log_group_name
}
