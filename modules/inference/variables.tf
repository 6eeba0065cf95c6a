variable "name" {
  description = "Name of the function; its log group and role are named after it."
  type        = string
}

variable "model" {
  description = "Model to serve, pinned to its exact bytes: an element of the output `models` of the module model-store, or the output of `lambda-llm push --json` (`jsondecode(file(\"model.json\"))`). `size` is in bytes, `sha256` in hex; with `memory`, the terms of the memory plan that `push` adds, the plan refuses a context that does not fit."
  type = object({
    bucket      = string
    key         = string
    version_id  = string
    size        = number
    sha256      = string
    crc64nvme   = optional(string)
    kms_key_arn = optional(string)
    memory = optional(object({
      kv_per_token   = object({ f16 = number, q8_0 = number })
      per_token      = number
      fixed          = number
      context_length = optional(number)
    }))
  })

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.model.bucket))
    error_message = "model.bucket must be the name of an S3 bucket, without s3:// and without a path."
  }

  validation {
    condition     = can(regex("^[^/*?$][^*?$]*$", var.model.key))
    error_message = "model.key must be the key of one object: no leading slash, and no *, ? or $, which are wildcards and variables in the role's policy."
  }

  validation {
    condition     = can(regex("^[^\\s*?$]+$", var.model.version_id)) && var.model.version_id != "null"
    error_message = "model.version_id must be the id of one object version, because an unversioned object could change under a published function: enable versioning on the bucket (the module model-store does) and push the model again."
  }

  validation {
    condition     = var.model.size > 0 && floor(var.model.size) == var.model.size
    error_message = "model.size must be the size of the file in bytes, as `lambda-llm push --json` prints it."
  }

  validation {
    condition     = var.model.size + local.process_bytes <= local.memory_bytes
    error_message = "The model has ${format("%.0f", var.model.size / 1024 / 1024)} MB, and a function with 10,240 MB has ${format("%.0f", (local.memory_bytes - local.process_bytes) / 1024 / 1024)} MB besides the process itself: use a smaller quantization or a smaller model."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", lower(var.model.sha256)))
    error_message = "model.sha256 must be the SHA-256 of the file as 64 hex digits, as `lambda-llm push --json` prints it."
  }

  validation {
    condition     = var.model.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.model.kms_key_arn))
    error_message = "model.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "previous_models" {
  description = "Models of older versions that must stay usable: the stable version of a canary, or one to roll back to. The role may read them too, because Lambda recreates snapshots from time to time, and init then loads the model again."
  type = list(object({
    bucket      = string
    key         = string
    version_id  = string
    kms_key_arn = optional(string)
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for model in var.previous_models : can(regex("^[^/*?$][^*?$]*$", model.key)) && can(regex("^[^\\s*?$]+$", model.version_id)) && model.version_id != "null"])
    error_message = "Each of previous_models must have the key and the version_id of one object version, without *, ? or $, as in model: the role may read nothing else."
  }
}

variable "package" {
  description = "Zip of the inference function, lambda-llm-inference-arm64.zip, as `make package` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`)."
  type = object({
    path     = optional(string)
    manifest = optional(string)
    s3 = optional(object({
      bucket     = string
      key        = string
      version_id = optional(string)
    }))
  })
}

variable "context" {
  description = "Context length in tokens. Default: the model's own, but at most 4,096."
  type        = number
  default     = null

  validation {
    condition     = var.context == null || try(var.context >= 8 && floor(var.context) == var.context, false)
    error_message = "context must be a whole number of tokens, at least 8; leave it out for the model's own, but at most 4,096."
  }

  validation {
    condition     = var.context == null || try(var.model.memory.context_length, null) == null || try(var.context <= coalesce(var.model.memory.context_length, var.context), false)
    error_message = "context is longer than the ${try(var.model.memory.context_length, 0)} tokens that the model was trained for: shorten it, or leave it out."
  }
}

variable "kv_type" {
  description = "Type of the KV cache: `f16`, or `q8_0` at about half the size."
  type        = string
  default     = "f16"
  nullable    = false

  validation {
    condition     = contains(["f16", "q8_0"], var.kv_type)
    error_message = "kv_type must be f16 or q8_0."
  }
}

variable "system_prompt" {
  description = "System prompt that is prefilled before the snapshot, so that no request waits for its prefill: the text, or `s3://bucket/key` of an object with a longer one, which the role may then read too."
  type        = string
  default     = null

  validation {
    condition     = var.system_prompt == null || try(trimspace(var.system_prompt) != "", false)
    error_message = "system_prompt is empty: set a text or s3://bucket/key, or leave it out."
  }

  validation {
    condition     = !startswith(coalesce(var.system_prompt, "-"), "s3://") || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$][^*?$]*[^/*?$]$", var.system_prompt))
    error_message = "A system_prompt that begins with s3:// must name one object: s3://bucket/key, without *, ? or $."
  }
}

variable "system_prompts" {
  description = "Further system prompts to prefill before the snapshot, each like `system_prompt`: a request that begins with one of them prefills only what follows."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for prompt in var.system_prompts : trimspace(prompt) != "" && (!startswith(prompt, "s3://") || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$][^*?$]*[^/*?$]$", prompt)))])
    error_message = "Each of system_prompts must be a text, or name one object as s3://bucket/key, without *, ? or $."
  }
}

variable "timeout" {
  description = "Time limit of a request in seconds. Init, which loads the model, has the same limit, but at least 130 s."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 900 && floor(var.timeout) == var.timeout
    error_message = "timeout must be a whole number of seconds from 1 to 900, Lambda's maximum."
  }
}

variable "reserved_concurrency" {
  description = "Maximum number of concurrent environments, which caps the function's cost; 0 blocks all requests. Default: the account's limit."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= 0 && floor(var.reserved_concurrency) == var.reserved_concurrency, false)
    error_message = "reserved_concurrency must be a whole number, 0 or more; leave it out for the account's limit."
  }
}

variable "path" {
  description = "IAM path of the role, for accounts whose policies restrict roles by path; changing it replaces the role."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the role's permissions boundary, for accounts that require one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Retention of the logs in days. Prompts and responses are never logged."
  type        = number
  default     = 365
  nullable    = false
}

variable "log_kms_key_arn" {
  description = "ARN of the KMS key for the log group; its key policy must allow CloudWatch Logs to use it. Default: CloudWatch's own encryption."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "ARN of the KMS key for the environment variables (the system prompt is one) and the snapshots, which contain the model. Default: Lambda's own key."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "callers" {
  description = "Who may call, in addition to what IAM policies in this account allow: account ids, or ARNs of IAM roles and users. All callers share one cache of prompts, so one can tell whether another sent the same beginning."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for caller in var.callers : can(regex("^([0-9]{12}|arn:[a-z-]+:iam::[0-9]{12}:(root|role/[^*]+|user/[^*]+))$", caller))])
    error_message = "callers must be account ids of 12 digits or ARNs of IAM roles or users; * is refused, because a public function would let anyone run up costs."
  }
}

variable "front_door" {
  description = "`streaming`: the Lambda Web Adapter and a Function URL that streams. `buffered`: Lambda's Python runtime without a URL, for invocations and API Gateway."
  type        = string
  default     = "streaming"
  nullable    = false

  validation {
    condition     = contains(["streaming", "buffered"], var.front_door)
    error_message = "front_door must be streaming (web adapter and Function URL) or buffered (neither)."
  }
}

variable "web_adapter_layer_arn" {
  description = "ARN of a layer version with the Lambda Web Adapter for arm64, 1.1.0 or later. Default: the published layer in the function's region."
  type        = string
  default     = null

  validation {
    condition     = var.web_adapter_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$", var.web_adapter_layer_arn))
    error_message = "web_adapter_layer_arn must be the ARN of one version of a layer (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION)."
  }

  validation {
    condition     = var.web_adapter_layer_arn == null || var.front_door == "streaming"
    error_message = "web_adapter_layer_arn is set, but the buffered front door uses no web adapter: leave it out, or set front_door = \"streaming\"."
  }
}

variable "canary" {
  description = "Shifts traffic gradually: the newest version receives the share `weight` (above 0, below 1) of the requests, `stable_version` the rest. Leave it out to send all requests to the newest."
  type = object({
    stable_version = string
    weight         = number
  })
  default = null

  validation {
    condition     = var.canary == null || try(var.canary.weight > 0 && var.canary.weight < 1, false)
    error_message = "canary.weight is the newest version's share of the requests and must be above 0 and below 1; to send it all requests, leave canary out."
  }

  validation {
    condition     = var.canary == null || can(regex("^[1-9][0-9]*$", var.canary.stable_version))
    error_message = "canary.stable_version must be the number of a published version; $LATEST has no snapshot, so each cold start would load the model."
  }
}

variable "sessions" {
  description = "Where to store the KV caches of conversations, so that each turn prefills only its new tokens: the output `sessions` of the module model-store. Default: not stored, and the role may only read its model and write its logs."
  type = object({
    bucket      = string
    prefix      = string
    kms_key_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.sessions == null || can(regex("^[^/*?$][^*?$]*/$", var.sessions.prefix))
    error_message = "sessions.prefix must not begin with a slash, must end with one, and must have no *, ? or $, as in \"sessions/\": the role may read and write everything below it."
  }

  validation {
    condition     = var.sessions == null || try(var.sessions.bucket != var.model.bucket || !startswith(var.model.key, var.sessions.prefix), false)
    error_message = "The model is stored below sessions.prefix, where the function may write: use another prefix or move the model."
  }
}

variable "environment" {
  description = "Further settings of the function, as `LAMBDA_LLM_*` variables; see the table in the project's README."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^LAMBDA_LLM_[A-Z0-9_]+$", name))])
    error_message = "environment accepts only settings of lambda-llm: use names of upper-case letters, digits and underscores that begin with LAMBDA_LLM_."
  }

  validation {
    condition     = length(setintersection(keys(var.environment), local.settings_of_this_module)) == 0
    error_message = "environment has a setting that this module derives from model, context, kv_type, system_prompt, system_prompts, timeout or sessions, or from the function's memory: remove it and use those inputs."
  }
}

variable "tags" {
  description = "Tags for every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false
}
