variable "name" {
  description = "Name of the state machine and of the model; the names of the functions and of the batches' state machine begin with it."
  type        = string
  default     = "lambda-llm-embeddings"

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,48}$", var.name))
    error_message = "name must be 1 to 48 letters, digits, hyphens or underscores, so that what is named after it has valid names too."
  }
}

variable "documents" {
  description = "Prefix of the documents, as s3://BUCKET/PREFIX/: .txt, .md and .markdown objects, and .jsonl objects with a line {\"id\": …, \"text\": …} for each document."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9.-]+/[^*?$]*[^/*?$]/*$", var.documents))
    error_message = "documents must be s3://BUCKET/PREFIX/, with a prefix and without *, ? and $, which are wildcards and variables in the role's policy."
  }
}

variable "vectors" {
  description = "Where the vectors go, as s3://BUCKET/PREFIX/; each run has a folder there, run=NAME."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9.-]+/[^*?$]*[^/*?$]/*$", var.vectors))
    error_message = "vectors must be s3://BUCKET/PREFIX/, with a prefix and without *, ? and $, which are wildcards and variables in the role's policy."
  }

  validation {
    condition     = !startswith("${trimsuffix(var.vectors, "/")}/", "${trimsuffix(var.documents, "/")}/")
    error_message = "vectors lies below documents, where runs would find the results of others: choose another prefix."
  }
}

variable "index_arn" {
  description = "ARN of an index of S3 Vectors that gets the vectors too; `text` must be one of its non-filterable metadata keys. Default: there is none."
  type        = string
  default     = null
}

variable "model_file" {
  description = "GGUF file of the encoder, which Terraform uploads. Default: the project's demo encoder, for texts of up to 128 tokens."
  type        = string
  default     = "../../models/demo-encoder/embeddings.gguf"
}

variable "chunks" {
  description = "Most characters of a chunk (`size`), and how many of them two neighbours may have in common (`overlap`). With `tokenizer`, the s3://BUCKET/KEY of the model's tokenizer.json, both are tokens: leave room for the two that an encoder adds."
  type = object({
    size      = optional(number, 400)
    overlap   = optional(number, 0)
    tokenizer = optional(string)
  })
  default  = {}
  nullable = false
}

variable "tenant" {
  description = "Whose batches they are."
  type        = string
  default     = "embeddings"
}

variable "window" {
  description = "Hours in which a batch has to end; what has no vector then is counted in the report."
  type        = string
  default     = "24h"
}

variable "max_dollars" {
  description = "What a batch may cost: one whose estimate is above it does not start. Default: no limit."
  type        = number
  default     = null
}

variable "tokens_per_second" {
  description = "Tokens that one environment embeds in a second, as `lambda-llm bench` measures it: the estimate follows from it."
  type        = number
  default     = 2000
}

variable "concurrency" {
  description = "Environments with the model that a batch may have at once."
  type        = number
  default     = 10
}

variable "reserved_concurrency" {
  description = "Maximum number of environments with the model, at least `concurrency`. Default: none is reserved, as a new account has a low limit and may not allow it."
  type        = number
  default     = null
}

variable "lambda_endpoint" {
  description = "Address of a VPC endpoint for Lambda. Default: the service's own."
  type        = string
  default     = null
}

variable "wait_seconds" {
  description = "How often the state machine looks whether a batch has ended."
  type        = number
  default     = 60
}

variable "schedule" {
  description = "When a run starts by itself, such as rate(1 day) or cron(0 3 * * ? *). Default: never."
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

variable "batch_package" {
  description = "Zip of the batches' functions. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-batch-arm64.zip" }
}

variable "documents_package" {
  description = "Zip of the function between documents and vectors. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-documents-arm64.zip" }
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}
