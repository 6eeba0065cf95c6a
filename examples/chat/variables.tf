variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm-chat"
}

variable "model_file" {
  description = "A GGUF file on this machine, which Terraform uploads. Default: the project's demo model."
  type        = string
  default     = "../../models/demo/lambda-llm-demo.gguf"
}

variable "pushed_model" {
  description = "A file that holds what `lambda-llm push MODEL s3://BUCKET/KEY --json` printed: that object is served, and model_file is not looked at."
  type        = string
  default     = null
}

variable "package" {
  description = "The zip of the inference function. Default: the one that `make package` left in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = null
}

variable "pruner_package" {
  description = "The zip of the version pruner. Default: the one that `make package` left in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = null
}

variable "system_prompt" {
  description = "Evaluated before the snapshot and kept, so that no request waits for it."
  type        = string
  default     = null
}

variable "callers" {
  description = "Who may call besides what IAM policies in this account allow: account ids, or ARNs of IAM roles and users."
  type        = set(string)
  default     = []
}

variable "reserved_concurrency" {
  description = "Most environments at one time, which caps what the function can cost. A new account has few in all and may refuse to reserve any: null reserves none."
  type        = number
  default     = null
}
