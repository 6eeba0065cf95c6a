variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm-canary"
}

variable "pushed_model" {
  description = "File with the output of `lambda-llm push MODEL s3://BUCKET/KEY --json` for the newest model."
  type        = string
  default     = "model.json"
}

variable "stable" {
  description = "The version that has served until now and serves the rest of the requests: its number (the output `version` of the apply that published it) and the file of its model. Leave it out to send all requests to the newest."
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
  description = "Zip of the inference function. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-inference-arm64.zip" }
}

variable "rollback_package" {
  description = "Zip of what rolls the canary back. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-canary-rollback-arm64.zip" }
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}
