variable "name" {
  description = "Name of the function and of what is made for it."
  type        = string
  default     = "lambda-llm-vpc"
}

variable "pushed_model" {
  description = "File with the output of `lambda-llm push MODEL s3://BUCKET/KEY --json`; the bucket is in the function's region."
  type        = string
  default     = "model.json"
}

variable "zones" {
  description = "Letters of the availability zones with a subnet each, at most four."
  type        = list(string)
  default     = ["a", "b"]
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
