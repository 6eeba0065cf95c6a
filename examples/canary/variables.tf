variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm-canary"
}

variable "pushed_model" {
  description = "A file that holds what `lambda-llm push MODEL s3://BUCKET/KEY --json` printed: the newest model."
  type        = string
  default     = "model.json"
}

variable "stable" {
  description = "What served until now and goes on serving the rest: the number of its version (the output `version` of the apply that published it) and the file of its model. Leave it out to send everything to the newest."
  type = object({
    version      = string
    pushed_model = string
  })
  default = null
}

variable "weight" {
  description = "The newest version's share of the requests, above 0 and below 1."
  type        = number
  default     = 0.1
}

variable "package" {
  description = "The zip of the inference function. Default: the one that `make package` left in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-inference-arm64.zip" }
}

variable "pruner_package" {
  description = "The zip of the version pruner. Default: the one that `make package` left in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}
