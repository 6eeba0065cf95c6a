variable "name" {
  description = "Name of the function and of the API."
  type        = string
  default     = "lambda-llm-key"
}

variable "pushed_model" {
  description = "File with the output of `lambda-llm push MODEL s3://BUCKET/KEY --json`."
  type        = string
  default     = "model.json"
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

variable "authorizer_package" {
  description = "Zip of the authorizer. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-authorizer-arm64.zip" }
}

variable "plans" {
  description = "Usage plans: the limits of each tenant in them. Nobody else gets in."
  type = map(object({
    requests_per_second = number
    burst               = number
    quota               = optional(object({ requests = number, period = optional(string, "DAY") }))
    tenants             = set(string)
  }))
  default = {
    standard = {
      requests_per_second = 5
      burst               = 10
      quota               = { requests = 10000 }
      tenants             = ["search", "support"]
    }
  }
}

variable "account_log_role" {
  description = "Whether to set the role by which API Gateway writes access logs, once for the account in this region. Set it to true in an account that has none."
  type        = bool
  default     = false
}

variable "streaming" {
  description = "Whether answers are streamed. Without, API Gateway waits for all of an answer, at most 29 s."
  type        = bool
  default     = true
}
