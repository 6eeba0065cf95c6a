output "base_url" {
  description = "Base URL for OpenAI clients (`OPENAI_BASE_URL`)."
  value       = module.front_door.base_url
}

output "table_name" {
  description = "Table of the keys, for `lambda-llm keys`."
  value       = module.front_door.table_name
}

output "function_name" {
  description = "Name of the model's function."
  value       = module.inference.function_name
}

output "authorizer_function_name" {
  description = "Name of the authorizer."
  value       = module.front_door.authorizer_function_name
}

output "api_id" {
  description = "Id of the REST API."
  value       = module.front_door.api_id
}
