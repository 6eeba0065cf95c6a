variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm-existing-bucket"
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

variable "environment" {
  description = "Further settings, such as `{ LAMBDA_LLM_WEIGHTS = \"mapped\" }`; see the table in the project's README."
  type        = map(string)
  default     = {}
}
