variable "name" {
  description = "Name of the function; its log group and role are named after it."
  type        = string
}

variable "model" {
  description = "The exact bytes to serve: an output of the module model-store, or what `lambda-llm push --json` printed (`jsondecode(file(\"model.json\"))`). `size` is in bytes, `sha256` in hex; `memory` is the arithmetic that `push` adds, by which a context that does not fit is refused before anything is applied."
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
    error_message = "model.bucket must be the name of a bucket, without s3:// and without a path."
  }

  validation {
    condition     = can(regex("^[^/*?$][^*?$]*$", var.model.key))
    error_message = "model.key must be the key of one object: no leading slash, and no *, ? or $, which would mean more than one object, or a variable, in the role's policy."
  }

  validation {
    condition     = can(regex("^[^\\s*?$]+$", var.model.version_id)) && var.model.version_id != "null"
    error_message = "model.version_id must name one version of the object: a version that is not pinned could change under a published function. Turn on versioning for the bucket (the module model-store has it) and push the model again."
  }

  validation {
    condition     = var.model.size > 0 && floor(var.model.size) == var.model.size
    error_message = "model.size must be the size of the file in bytes, as `lambda-llm push --json` prints it."
  }

  validation {
    condition     = var.model.size + local.process_bytes <= local.memory_bytes
    error_message = "The model has ${format("%.0f", var.model.size / 1024 / 1024)} MB, and a function of 10,240 MB has ${format("%.0f", (local.memory_bytes - local.process_bytes) / 1024 / 1024)} MB beside the process itself. Use a smaller quantization or a smaller model."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", lower(var.model.sha256)))
    error_message = "model.sha256 must be the SHA-256 of the file as 64 hex digits, as `lambda-llm push --json` prints it."
  }

  validation {
    condition     = var.model.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.model.kms_key_arn))
    error_message = "model.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM does not follow aliases."
  }
}

variable "previous_models" {
  description = "Models of older versions that may still be initialized again: the stable version of a canary, or one to roll back to. Lambda renews snapshots from time to time, and then the function reads its model anew."
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
    error_message = "Each of previous_models must name one version of one object, as var.model does: the role is to read nothing else."
  }
}

variable "package" {
  description = "The zip of the inference function, lambda-llm-inference-arm64.zip, as `make package` builds it: `path` of a local file, or `s3` for one that was uploaded; `manifest` is the path of the manifest beside it (default: next to `path`)."
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
  description = "Context length in tokens. Default: the model's own, 4,096 at most."
  type        = number
  default     = null

  validation {
    condition     = var.context == null || try(var.context >= 8 && floor(var.context) == var.context, false)
    error_message = "context must be a whole number of tokens, 8 or more; leave it out for the model's own, 4,096 at most."
  }

  validation {
    condition     = var.context == null || try(var.model.memory.context_length, null) == null || try(var.context <= coalesce(var.model.memory.context_length, var.context), false)
    error_message = "context is longer than the ${try(var.model.memory.context_length, 0)} tokens that the model was made for. Shorten it, or leave it out."
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
  description = "Evaluated before the snapshot and kept, so that no request waits for it. The text, or `s3://bucket/key` of an object that holds a longer one; the role may then read that object too."
  type        = string
  default     = null

  validation {
    condition     = var.system_prompt == null || try(trimspace(var.system_prompt) != "", false)
    error_message = "system_prompt is empty: leave it out, or say what the model is to be told."
  }

  validation {
    condition     = !startswith(coalesce(var.system_prompt, "-"), "s3://") || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$][^*?$]*[^/*?$]$", var.system_prompt))
    error_message = "A system_prompt that begins with s3:// must name one object: s3://bucket/key, without *, ? or $."
  }
}

variable "system_prompts" {
  description = "Further system prompts that are kept, each as `system_prompt`: a request that begins with one of them waits only for what follows."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for prompt in var.system_prompts : trimspace(prompt) != "" && (!startswith(prompt, "s3://") || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$][^*?$]*[^/*?$]$", prompt)))])
    error_message = "Each of system_prompts must be a text, or name one object as s3://bucket/key, without *, ? or $."
  }
}

variable "timeout" {
  description = "Longest request in seconds. Init, which loads the model, gets as long, and never less than 130 s."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 900 && floor(var.timeout) == var.timeout
    error_message = "timeout must be a whole number of seconds from 1 to 900, Lambda's longest."
  }
}

variable "reserved_concurrency" {
  description = "Most environments at one time, which caps what the function can cost; 0 turns it off. Default: the account's limit."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= 0 && floor(var.reserved_concurrency) == var.reserved_concurrency, false)
    error_message = "reserved_concurrency must be a whole number, 0 or more; leave it out for no limit of its own."
  }
}

variable "path" {
  description = "IAM path of the role, where what may be made is decided by paths; another one makes another role."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds what the role can ever be allowed, for accounts that ask for one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept, in days. Prompts and answers are never logged."
  type        = number
  default     = 365
  nullable    = false
}

variable "log_kms_key_arn" {
  description = "KMS key for the log group; its policy must let CloudWatch Logs use it. Default: CloudWatch's own encryption."
  type        = string
  default     = null
}

variable "kms_key_arn" {
  description = "KMS key for the environment variables (the system prompt is one) and for the snapshots, which hold the model. Default: Lambda's own key."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "callers" {
  description = "Who may call besides what IAM policies in this account allow: account ids, or ARNs of IAM roles and users."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for caller in var.callers : can(regex("^([0-9]{12}|arn:[a-z-]+:iam::[0-9]{12}:(root|role/[^*]+|user/[^*]+))$", caller))])
    error_message = "callers must be account ids of 12 digits or ARNs of IAM roles or users. A function that serves a model is never public: * would let anybody spend your money."
  }
}

variable "front_door" {
  description = "`streaming`: the Lambda Web Adapter in front, a Function URL that streams. `buffered`: Lambda's own Python runtime, no URL; for invokes and API Gateway."
  type        = string
  default     = "streaming"
  nullable    = false

  validation {
    condition     = contains(["streaming", "buffered"], var.front_door)
    error_message = "front_door must be streaming (web adapter and Function URL) or buffered (neither)."
  }
}

variable "web_adapter_layer_arn" {
  description = "Layer of the Lambda Web Adapter for arm64, 1.1.0 or later, with its version. Default: AWS's own in the function's region."
  type        = string
  default     = null

  validation {
    condition     = var.web_adapter_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$", var.web_adapter_layer_arn))
    error_message = "web_adapter_layer_arn must be the ARN of one version of a layer (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION)."
  }

  validation {
    condition     = var.web_adapter_layer_arn == null || var.front_door == "streaming"
    error_message = "The buffered front door uses no web adapter: leave web_adapter_layer_arn out, or set front_door = \"streaming\"."
  }
}

variable "canary" {
  description = "Moves traffic step by step: the version that was just published gets `weight` (above 0, below 1) of the requests, `stable_version` goes on serving the rest. Leave it out to send everything to the newest."
  type = object({
    stable_version = string
    weight         = number
  })
  default = null

  validation {
    condition     = var.canary == null || try(var.canary.weight > 0 && var.canary.weight < 1, false)
    error_message = "canary.weight must be above 0 and below 1: it is the newest version's share of the requests. To send it all of them, leave canary out."
  }

  validation {
    condition     = var.canary == null || can(regex("^[1-9][0-9]*$", var.canary.stable_version))
    error_message = "canary.stable_version must be the number of a published version. $LATEST has no snapshot, so each of its cold starts would load the model."
  }
}

variable "sessions" {
  description = "Where the KV caches of conversations are kept, so that a turn costs only what is new: an output of the module model-store. Default: nowhere; the role then reads its model and writes its logs, nothing else."
  type = object({
    bucket      = string
    prefix      = string
    kms_key_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.sessions == null || can(regex("^[^/*?$][^*?$]*/$", var.sessions.prefix))
    error_message = "sessions.prefix must begin with a name and end with a slash, as in \"sessions/\": the role may read and write below it."
  }

  validation {
    condition     = var.sessions == null || try(var.sessions.bucket != var.model.bucket || !startswith(var.model.key, var.sessions.prefix), false)
    error_message = "The model lies below sessions.prefix, where the function may write: keep them apart."
  }
}

variable "environment" {
  description = "Further settings of the function, `LAMBDA_LLM_*`; see the table in the project's README."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^LAMBDA_LLM_[A-Z0-9_]+$", name))])
    error_message = "environment takes settings of lambda-llm only: names that begin with LAMBDA_LLM_."
  }

  validation {
    condition     = length(setintersection(keys(var.environment), local.settings_of_this_module)) == 0
    error_message = "environment names a setting that this module makes itself from model, context, kv_type, system_prompt, system_prompts, timeout or sessions, or from the function's memory: use those inputs instead."
  }
}

variable "tags" {
  description = "Tags for everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
