variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm-chat"
}

variable "model_file" {
  description = "Local GGUF file that Terraform uploads. Default: the project's demo model."
  type        = string
  default     = "../../models/demo/lambda-llm-demo.gguf"
}

variable "pushed_model" {
  description = "File with the output of `lambda-llm push MODEL s3://BUCKET/KEY --json`: that object is served, and `model_file` is ignored."
  type        = string
  default     = null
}

variable "package" {
  description = "Zip of the inference function. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = null
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = null
}

variable "system_prompt" {
  description = "System prompt that is prefilled before the snapshot, so that no request waits for its prefill."
  type        = string
  default     = null
}

variable "allowed_principals" {
  description = "Who may call, in addition to what IAM policies in this account allow, by a name of your choice: an account id, the ARN of an IAM role or user, or the id of an organization. All callers share one cache of prompts, so one can tell whether another sent the same beginning."
  type        = map(string)
  default     = {}
}

variable "revision" {
  description = "Any text; a new one publishes a new version with everything else unchanged."
  type        = string
  default     = null
}

variable "reserved_concurrency" {
  description = "Maximum number of concurrent environments, which caps the function's cost. A new account has a low limit and may not allow reservations: null reserves none."
  type        = number
  default     = null
}
