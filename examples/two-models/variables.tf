variable "name" {
  description = "Prefix of the functions' names."
  type        = string
  default     = "lambda-llm-two"
}

variable "models" {
  description = "Local GGUF files by name, which Terraform uploads. Default: the project's demo models, one for chats and one for embeddings."
  type        = map(string)
  default = {
    chat       = "../../models/demo/lambda-llm-demo.gguf"
    embeddings = "../../models/demo-encoder/embeddings.gguf"
  }
}

variable "create_kms_key" {
  description = "Encrypt the bucket with a KMS key created for it ($1 a month)."
  type        = bool
  default     = false
}

variable "package" {
  description = "Zip of the inference function. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-inference-arm64.zip" }
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}
