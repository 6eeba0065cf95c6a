variable "name" {
  description = "Name of the function; its log group and role are named after it."
  type        = string
  nullable    = false
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
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.model.bucket))
    error_message = "model.bucket must be the name of an S3 bucket, without s3:// and without a path."
  }

  validation {
    condition     = can(regex("^[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}][^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*$", var.model.key))
    error_message = "model.key must be the key of one object: no leading slash, no *, ? or $, which are wildcards and variables in the role's policy, and no character beyond ÿ, which IAM takes in no policy."
  }

  validation {
    condition     = try(can(regex("^[^\\s*?$\\x{7f}-\\x{10ffff}]+$", var.model.version_id)) && var.model.version_id != "null", false)
    error_message = "model.version_id must be the id of one object version, because an unversioned object could change under a published function: enable versioning on the bucket (the module model-store does) and push the model again."
  }

  validation {
    condition     = try(var.model.size > 0 && floor(var.model.size) == var.model.size, false)
    error_message = "model.size must be the size of the file in bytes, as `lambda-llm push --json` prints it."
  }

  validation {
    condition     = try(var.model.size + local.process_bytes <= local.memory_bytes, true)
    error_message = "The model has ${format("%.0f", coalesce(nonsensitive(var.model.size), 0) / 1024 / 1024)} MB, and a function with 10,240 MB has ${format("%.0f", (local.memory_bytes - local.process_bytes) / 1024 / 1024)} MB besides the process itself: use a smaller quantization or a smaller model."
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
    condition     = alltrue([for model in var.previous_models : try(can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", model.bucket)) && can(regex("^[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}][^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*$", model.key)) && can(regex("^[^\\s*?$\\x{7f}-\\x{10ffff}]+$", model.version_id)) && model.version_id != "null", false)])
    error_message = "Each of previous_models must have the bucket, the key and the version_id of one object version, without *, ? or $, as in model: the role may read nothing else."
  }

  validation {
    condition     = alltrue([for model in var.previous_models : try(model.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", model.kms_key_arn))])
    error_message = "Each kms_key_arn in previous_models must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): the role may decrypt with nothing else."
  }
}

variable "package" {
  description = "Zip of the inference function, lambda-llm-inference-arm64.zip, as `make package` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip in S3 that was signed since."
  type = object({
    path        = optional(string)
    manifest    = optional(string)
    code_sha256 = optional(string)
    s3 = optional(object({
      bucket     = string
      key        = string
      version_id = optional(string)
    }))
  })
  nullable = false
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
    error_message = "context is longer than the ${coalesce(nonsensitive(try(var.model.memory.context_length, null)), 0)} tokens that the model was trained for: shorten it, or leave it out."
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
    condition     = !startswith(coalesce(var.system_prompt, "-"), "s3://") || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]([^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}])?$", var.system_prompt))
    error_message = "A system_prompt that begins with s3:// must name one object: s3://bucket/key, without *, ? or $, and without a character beyond ÿ, which IAM takes in no policy."
  }
}

variable "system_prompts" {
  description = "Further system prompts to prefill before the snapshot, each like `system_prompt`: a request that begins with one of them prefills only what follows."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for prompt in var.system_prompts : try(trimspace(prompt) != "" && (!startswith(prompt, "s3://") || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]([^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}])?$", prompt))), false)])
    error_message = "Each of system_prompts must be a text, or name one object as s3://bucket/key, without *, ? or $, and without a character beyond ÿ, which IAM takes in no policy."
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

variable "role" {
  description = "Existing role, as the resource `aws_iam_role` or its name and ARN; it must be allowed what the output `policy_json` says. Default: a role is created."
  type = object({
    name = string
    arn  = string
  })
  default = null
}

variable "log_group" {
  description = "Existing log group, as the resource `aws_cloudwatch_log_group` or its name and ARN. Default: `/aws/lambda/` and the function's name is created."
  type = object({
    name = string
    arn  = string
  })
  default = null
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

variable "logging" {
  description = "Format of the log, `JSON` or `Text`, and with JSON the levels of the application (`INFO` or below: above it there would be no figures) and of Lambda itself from which on lines are written."
  type = object({
    format            = optional(string, "JSON")
    application_level = optional(string)
    system_level      = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["Text", "JSON"], var.logging.format)
    error_message = "logging.format must be Text or JSON."
  }

  validation {
    condition     = var.logging.format == "JSON" || (var.logging.application_level == null && var.logging.system_level == null)
    error_message = "logging has a level, and Lambda filters by levels only in JSON: leave logging.format out, or the levels."
  }

  validation {
    condition     = var.logging.application_level == null || try(contains(["TRACE", "DEBUG", "INFO"], var.logging.application_level), false)
    error_message = "logging.application_level must be TRACE, DEBUG or INFO: the lines from which metrics are taken have the level INFO, and Lambda would drop them."
  }

  validation {
    condition     = var.logging.system_level == null || try(contains(["DEBUG", "INFO", "WARN"], var.logging.system_level), false)
    error_message = "logging.system_level must be DEBUG, INFO or WARN."
  }
}

variable "tracing" {
  description = "`PassThrough`: requests are traced in X-Ray if their caller traces them; `Active`: Lambda samples and traces requests itself."
  type        = string
  default     = "PassThrough"
  nullable    = false

  validation {
    condition     = contains(["PassThrough", "Active"], var.tracing)
    error_message = "tracing must be PassThrough or Active."
  }
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

variable "allowed_principals" {
  description = "Who may call, in addition to what IAM policies in this account allow, by a name of your choice: an account id, the ARN of an IAM role or user (of this stack, too), or the id of an organization. All callers share one cache of prompts, so one can tell whether another sent the same beginning."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for principal in var.allowed_principals : can(regex("^([0-9]{12}|o-[a-z0-9]{10,32}|arn:[a-z-]+:iam::[0-9]{12}:(root|role/[^*?\\s]+|user/[^*?\\s]+))$", principal))])
    error_message = "allowed_principals must be account ids of 12 digits, ARNs of IAM roles or users, or ids of organizations (o-…); * is refused, because a public function would let anyone run up costs; services go into allowed_services."
  }

  validation {
    condition     = alltrue([for key in keys(var.allowed_principals) : can(regex("^[A-Za-z0-9_-]{1,60}$", key))])
    error_message = "Each name in allowed_principals must be 1 to 60 letters, digits, hyphens or underscores: the permission's statement is named after it."
  }
}

variable "allowed_services" {
  description = "AWS services that may invoke the alias, by a name of your choice: `service` such as `events.amazonaws.com`, and the one resource (`source_arn`) or account (`source_account`) on whose behalf."
  type = map(object({
    service        = string
    source_arn     = optional(string)
    source_account = optional(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in var.allowed_services : can(regex("^[a-z0-9.-]+\\.amazonaws\\.com(\\.cn)?$", one.service))])
    error_message = "Each service in allowed_services must be the principal of an AWS service, such as events.amazonaws.com; accounts and roles go into allowed_principals."
  }

  validation {
    condition     = alltrue([for one in var.allowed_services : try(one.source_arn != null || one.source_account != null, false)])
    error_message = "Each of allowed_services needs source_arn or source_account: without it, anybody's resources of that service could invoke the function."
  }

  validation {
    condition     = alltrue([for one in var.allowed_services : try(one.source_arn, null) == null || can(regex("^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12}:.+|:[^*?]+)$", one.source_arn)) || can(regex("^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*::.+$", one.source_arn)) && try(one.source_account, null) != null])
    error_message = "Each source_arn in allowed_services must be an ARN that names its account or one bucket; only its end may have a wildcard, and a wildcard for buckets needs source_account, because anybody's would match it."
  }

  validation {
    condition     = alltrue([for one in var.allowed_services : try(one.source_account, null) == null || can(regex("^[0-9]{12}$", one.source_account))])
    error_message = "Each source_account in allowed_services must be an account id of 12 digits."
  }

  validation {
    condition     = alltrue([for key in keys(var.allowed_services) : can(regex("^[A-Za-z0-9_-]{1,60}$", key))])
    error_message = "Each name in allowed_services must be 1 to 60 letters, digits, hyphens or underscores: the permission's statement is named after it."
  }
}

variable "cors" {
  description = "CORS of the Function URL, for web pages that sign their requests: `allow_origins` and more, as in `aws_lambda_function_url`. Default: no page of another origin may read responses."
  type = object({
    allow_origins     = list(string)
    allow_methods     = optional(list(string), ["GET", "POST"])
    allow_headers     = optional(list(string), ["authorization", "content-type", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"])
    expose_headers    = optional(list(string), [])
    allow_credentials = optional(bool, false)
    max_age           = optional(number, 300)
  })
  default = null

  validation {
    condition     = var.cors == null || var.front_door == "streaming"
    error_message = "cors is set, but the buffered front door has no Function URL: leave it out, or set front_door = \"streaming\"."
  }

  validation {
    condition     = var.cors == null || try(length(var.cors.allow_origins) > 0 && alltrue([for origin in var.cors.allow_origins : can(regex("^([*]|https?://[^/*\\s]+)$", origin))]), false)
    error_message = "cors needs at least one of allow_origins, and each must be an origin without a path, such as https://chat.example.com, or *."
  }

  validation {
    condition     = var.cors == null || !try(var.cors.allow_credentials && contains(var.cors.allow_origins, "*"), false)
    error_message = "cors.allow_credentials does not go with the origin *: name the origins."
  }

  validation {
    condition     = alltrue([for method in try(var.cors.allow_methods, []) : try(contains(["*", "GET", "POST", "HEAD", "PUT", "PATCH", "DELETE"], method), false)])
    error_message = "cors.allow_methods must be methods that Lambda accepts there, such as GET and POST; OPTIONS is always answered."
  }

  validation {
    condition     = var.cors == null || try(var.cors.max_age >= 0 && var.cors.max_age <= 86400 && floor(var.cors.max_age) == var.cors.max_age, false)
    error_message = "cors.max_age must be a whole number of seconds from 0 to 86,400, as Lambda requires."
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
  description = "ARN of a layer version with the Lambda Web Adapter for arm64, 1.1.0 or later. Default: the layer that is published in AWS's commercial regions; in GovCloud and China there is none for arm64."
  type        = string
  default     = null

  validation {
    condition     = var.web_adapter_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$", var.web_adapter_layer_arn))
    error_message = "web_adapter_layer_arn must be the ARN of one version of a layer (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION)."
  }

  validation {
    condition     = !can(regex("(?i)(x86|amd64)", var.web_adapter_layer_arn))
    error_message = "web_adapter_layer_arn is a layer for x86_64 by its name, and the function runs on arm64: use LambdaAdapterLayerArm64."
  }

  validation {
    condition     = var.web_adapter_layer_arn == null || var.front_door == "streaming"
    error_message = "web_adapter_layer_arn is set, but the buffered front door uses no web adapter: leave it out, or set front_door = \"streaming\"."
  }
}

variable "layers" {
  description = "ARNs of further layer versions, such as a telemetry extension's for arm64; the web adapter's is there already."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.layers : can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$", arn))])
    error_message = "Each of layers must be the ARN of one version of a layer (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION)."
  }

  validation {
    condition     = !anytrue([for arn in var.layers : can(regex("(?i)(x86|amd64)", arn))])
    error_message = "layers has a layer for x86_64 by its name, and the function runs on arm64: use the layer for arm64."
  }
}

variable "code_signing_config_arn" {
  description = "ARN of a code signing configuration: Lambda then takes signed zips only, from S3."
  type        = string
  default     = null

  validation {
    condition     = var.code_signing_config_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:code-signing-config:csc-[a-z0-9]{17}$", var.code_signing_config_arn))
    error_message = "code_signing_config_arn must be the ARN of a code signing configuration (arn:aws:lambda:REGION:ACCOUNT:code-signing-config:csc-…)."
  }

  validation {
    condition     = var.code_signing_config_arn == null || var.package.s3 != null
    error_message = "code_signing_config_arn is set, and AWS Signer signs zips in S3 only: upload and sign the package, and set package.s3 and package.code_sha256."
  }
}

variable "vpc" {
  description = "Subnets and security groups for a function in a VPC. It needs to reach S3, for which a gateway endpoint is free; a NAT gateway is not needed. Default: Lambda's own network."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
    ipv6               = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.vpc == null || try(length(var.vpc.subnet_ids) > 0 && length(var.vpc.subnet_ids) <= 16 && length(var.vpc.security_group_ids) > 0 && length(var.vpc.security_group_ids) <= 5, false)
    error_message = "vpc needs 1 to 16 of subnet_ids and 1 to 5 of security_group_ids, which is what Lambda accepts; leave vpc out for Lambda's own network."
  }

  validation {
    condition     = var.vpc == null || try(alltrue([for id in var.vpc.subnet_ids : startswith(id, "subnet-")]) && alltrue([for id in var.vpc.security_group_ids : startswith(id, "sg-")]), false)
    error_message = "vpc.subnet_ids must be ids of subnets (subnet-…) and vpc.security_group_ids ids of security groups (sg-…)."
  }
}

variable "description" {
  description = "Description of the function. Default: the model's key and version."
  type        = string
  default     = null

  validation {
    condition     = var.description == null || try(length(var.description) <= 256, false)
    error_message = "description must have at most 256 characters, as Lambda requires."
  }
}

variable "revision" {
  description = "Any text; a new one publishes a new version with everything else unchanged: after an init that failed for a reason outside of the function, Lambda does not try again by itself."
  type        = string
  default     = null

  validation {
    condition     = var.revision == null || can(regex("^[A-Za-z0-9_.:-]{1,64}$", var.revision))
    error_message = "revision must be 1 to 64 letters, digits or any of _ . : -, such as \"2\" or a date."
  }
}

variable "timeouts" {
  description = "How long Terraform waits. Publishing waits for init and the snapshot, which may take longer than the provider's default of 10 minutes."
  type = object({
    create = optional(string, "30m")
    update = optional(string, "30m")
    delete = optional(string, "10m")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for duration in values(var.timeouts) : can(regex("^([0-9]+[smh])+$", duration))])
    error_message = "timeouts must be durations such as 30m or 1h30m."
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

  validation {
    condition     = var.canary == null || length(var.previous_models) > 0
    error_message = "canary needs the model of stable_version in previous_models, the same as model if that did not change: Lambda recreates snapshots from time to time, and the stable version then reads its model again."
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
    condition     = var.sessions == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.sessions.bucket))
    error_message = "sessions.bucket must be the name of an S3 bucket, without s3:// and without a path."
  }

  validation {
    condition     = try(var.sessions.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.sessions.kms_key_arn))
    error_message = "sessions.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }

  validation {
    condition     = var.sessions == null || can(regex("^[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}][^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*/$", var.sessions.prefix))
    error_message = "sessions.prefix must not begin with a slash, must end with one, and must have no *, ?, $ or character beyond ÿ, as in \"sessions/\": the role may read and write everything below it."
  }

  validation {
    condition     = var.sessions == null || try(var.sessions.bucket != var.model.bucket || !startswith(var.model.key, var.sessions.prefix), false)
    error_message = "The model is stored below sessions.prefix, where the function may write: use another prefix or move the model."
  }
}

variable "environment" {
  description = "Further environment variables: settings of this project, as in the table of its README (`LAMBDA_LLM_*`), and others, such as `OTEL_*` of a telemetry layer."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^[A-Za-z][A-Za-z0-9_]+$", name))])
    error_message = "environment has a name that Lambda does not accept: use two or more letters, digits or underscores, beginning with a letter."
  }

  validation {
    condition     = alltrue([for value in values(var.environment) : value != null])
    error_message = "environment has a variable whose value is null: ${join(", ", nonsensitive([for name, value in var.environment : name if value == null]))}. Give it a value, or leave it out."
  }

  validation {
    condition     = alltrue([for name in keys(var.environment) : !startswith(upper(name), "LAMBDA_LLM_") || contains(keys(local.known_settings), name)])
    error_message = "environment has a name that is no setting of lambda-llm: ${join(", ", nonsensitive([for name in keys(var.environment) : name if startswith(upper(name), "LAMBDA_LLM_") && !contains(keys(local.known_settings), name)]))}. Correct it by the table of settings in the project's README."
  }

  validation {
    condition = alltrue([for name, value in var.environment : !contains(keys(local.known_settings), name) || (
      can(regex(local.known_settings[name].pattern, value))
      && (!try(local.known_settings[name].list, false) || try(jsonencode(jsondecode(value)) == jsonencode([for one in jsondecode(value) : regex("(?s)^.+$", one)]), false))
      && (try(local.known_settings[name].least, null) == null || try(tonumber(value) >= local.known_settings[name].least, false))
      && (try(local.known_settings[name].above, null) == null || try(tonumber(value) > local.known_settings[name].above, false))
    )])
    error_message = "A setting in environment has a value that it can't have. Expected: ${join("; ", nonsensitive([for name in keys(var.environment) : "${name}: ${local.known_settings[name].expected}" if contains(keys(local.known_settings), name)]))}."
  }

  validation {
    condition     = length(setintersection(keys(var.environment), local.settings_of_this_module)) == 0
    error_message = "environment has a setting that this module derives from model, context, kv_type, system_prompt, system_prompts, timeout, sessions or revision, or from the function's memory: remove it and use those inputs."
  }

  validation {
    condition     = length(setintersection(keys(var.environment), concat(local.variables_of_lambda, local.variables_of_the_web_adapter))) == 0
    error_message = "environment has a variable that Lambda reserves, or one of the web adapter's that this module sets so that responses stream and the snapshot is right: remove it."
  }
}

variable "tags" {
  description = "Tags for every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false
}
