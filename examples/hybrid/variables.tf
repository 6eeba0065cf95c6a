variable "name" {
  description = "Name of the router's function; the model's has the suffix `-small`."
  type        = string
  default     = "lambda-llm-hybrid"
}

variable "model_file" {
  description = "GGUF file of the small model, which Terraform uploads. Default: the project's demo model."
  type        = string
  default     = "../../models/demo/lambda-llm-demo.gguf"
}

variable "model_name" {
  description = "The small model's name, as `GET /v1/models` of its function gives it."
  type        = string
  default     = "lambda-llm-demo"
}

variable "context" {
  description = "Context length of the small model in tokens: what is longer goes to Bedrock."
  type        = number
  default     = 2048
}

variable "speed" {
  description = "How many tokens a second one environment reads (`prefill`) and writes (`decode`), as `lambda-llm verify` or scripts/bench measure it: its price per token follows from that of Lambda's time."
  type        = object({ prefill = number, decode = number })
  default     = { prefill = 400, decode = 30 }
}

variable "environments" {
  description = "Most environments of the small model at a time: what comes beside goes to Bedrock. Default: the account's limit."
  type        = number
  default     = null
}

variable "bedrock" {
  description = "The model of Bedrock: its id or that of an inference profile, the ARNs that a request needs (of a profile also the foundation models in each of its regions), context length, and dollars for a million tokens."
  type = object({
    region  = string
    model   = string
    arns    = list(string)
    context = number
    price   = object({ input = number, output = number })
  })
  default = {
    region  = "us-east-1"
    model   = "amazon.nova-lite-v1:0"
    arns    = ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"]
    context = 300000
    price   = { input = 0.06, output = 0.24 }
  }
}

variable "gpu" {
  description = "A SageMaker endpoint of this account and region by its name, such as one of the module gpu-endpoint, for the alias `large`: its inference component, the model's name in it, context length, dollars an hour and the tokens a second of all requests together. Default: there is none."
  type = object({
    endpoint  = string
    component = optional(string)
    model     = string
    context   = number
    price     = object({ hourly = number, prefill = number, decode = number })
  })
  default = null
}

variable "tenants" {
  description = "Tenants by name: the roles (by their ARNs without the path) and users whose requests are theirs, what they may spend in a day, and whether their data may leave Lambda (`place` is lambda, account or anywhere)."
  type = map(object({
    principals    = list(string)
    dollars_a_day = number
    place         = optional(string, "account")
  }))
  default = {}
}

variable "dollars_a_day" {
  description = "What everybody else may spend in a day, each: all principals whom IAM lets use the URL."
  type        = number
  default     = 1
}

variable "endpoints" {
  description = "Addresses of VPC endpoints, by service. Default: the services' own."
  type = object({
    lambda    = optional(string)
    bedrock   = optional(string)
    sagemaker = optional(string)
  })
  default = {}
}

variable "package" {
  description = "Zip of the inference function. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-inference-arm64.zip" }
}

variable "router_package" {
  description = "Zip of the router. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-router-arm64.zip" }
}

variable "pruner_package" {
  description = "Zip of the version pruner. Default: the one that `make package` builds in dist/."
  type = object({
    path     = optional(string)
    manifest = optional(string)
  })
  default = { path = "../../dist/lambda-llm-pruner-arm64.zip" }
}

variable "alarm_actions" {
  description = "ARNs of what an alarm calls, such as an SNS topic."
  type        = list(string)
  default     = []
}
