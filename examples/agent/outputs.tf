output "agent_arn" {
  description = "ARN of the agent's alias: begin executions there."
  value       = module.agent.alias_arn
}

output "model_arn" {
  description = "ARN of the model's alias, which the agent asks."
  value       = module.inference.alias_arn
}

output "state" {
  description = "Where the agent's documents are: an address in S3, below which each tenant has a folder."
  value       = "s3://${module.store.state.bucket}/${module.store.state.prefix}"
}

output "log_group" {
  description = "Name of the agent's log group."
  value       = module.agent.log_group_name
}
