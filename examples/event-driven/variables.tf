variable "name" {
  description = "Name of the inference function; the names of the worker and the queues begin with it."
  type        = string
  default     = "lambda-llm-events"
}

variable "pushed_model" {
  description = "File with the output of `lambda-llm push MODEL s3://BUCKET/KEY --json`."
  type        = string
  default     = "model.json"
}

variable "timeout" {
  description = "Longest time that an answer may take, in seconds."
  type        = number
  default     = 120
  nullable    = false
}

variable "batch_size" {
  description = "Messages that the worker takes at a time, and answers one after the other: no more than fit into Lambda's 900 seconds, at `timeout` and 20 more each."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.batch_size >= 1 && floor(var.batch_size) == var.batch_size && var.batch_size * (var.timeout + 20) <= 900
    error_message = "batch_size must be a whole number of messages that fit into the 900 seconds that a function may take: batch_size * (timeout + 20) <= 900."
  }
}

variable "concurrency" {
  description = "Messages that are answered at the same time, 2 or more: that many environments with the model are started when the queue is full."
  type        = number
  default     = 2
  nullable    = false
}

variable "reserved_concurrency" {
  description = "Maximum number of environments with the model, at least `concurrency`. Default: none is reserved, as a new account has a low limit and may not allow it."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= var.concurrency, false)
    error_message = "reserved_concurrency is below concurrency, so messages would be throttled until they are dead letters: raise it, or lower concurrency."
  }
}

variable "receives" {
  description = "Number of times that a message is tried before it goes to the dead letter queue; Lambda's docs advise 5 or more, as a throttled try counts too."
  type        = number
  default     = 5
  nullable    = false
}

variable "retry_seconds" {
  description = "Seconds after which a message that failed is tried again."
  type        = number
  default     = 60
  nullable    = false
}

variable "package" {
  description = "Zip of the inference function. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-inference-arm64.zip" }
}

variable "worker_package" {
  description = "Zip of the queue's worker. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-queue-worker-arm64.zip" }
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}
