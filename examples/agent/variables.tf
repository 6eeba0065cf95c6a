variable "name" {
  description = "Name of the agent's function; the model's has the suffix `-model`."
  type        = string
  default     = "lambda-llm-agent"
}

variable "model_file" {
  description = "GGUF file to upload. Default: the demo model."
  type        = string
  default     = "../../models/demo/lambda-llm-demo.gguf"
}

variable "model_name" {
  description = "The model's name, as `GET /v1/models` of the inference function gives it."
  type        = string
  default     = "lambda-llm-demo"
  nullable    = false
}

variable "tools_url" {
  description = "Address of the server with the documents, such as that of an AgentCore gateway. Default: the agent has no documents."
  type        = string
  default     = null
}

variable "execution_days" {
  description = "Days that an execution may take, waiting included."
  type        = number
  default     = 14
  nullable    = false
}

variable "state_days" {
  description = "Days until documents and results are deleted; an execution that needs one ends without it."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.state_days > var.execution_days
    error_message = "state_days is not more than execution_days, so an execution would lose its documents: raise it, or lower execution_days."
  }
}

variable "gateways" {
  description = "ARNs of the AgentCore gateways whose tools the agent may call."
  type        = list(string)
  default     = []
}

variable "code_interpreters" {
  description = "ARNs of the AgentCore code interpreters in which the agent may run code; it uses the first. Default: it runs none."
  type        = list(string)
  default     = []
}

variable "topic_arn" {
  description = "ARN of an SNS topic for alarms. Default: they notify nobody."
  type        = string
  default     = null
}

variable "package" {
  description = "Zip of the inference function. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-inference-arm64.zip" }
}

variable "agent_package" {
  description = "Zip of the agent. Default: the one that `lambda-llm package --agent` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-agent-arm64.zip" }
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}
