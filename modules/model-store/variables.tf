variable "name" {
  description = "Name of the bucket. Default: `name_prefix` and something unique."
  type        = string
  default     = null

  validation {
    condition     = var.name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits or hyphens, beginning and ending with a letter or digit. (S3 would take dots too, but TLS certificates don't.)"
  }
}

variable "name_prefix" {
  description = "Beginning of the bucket's name, when `name` is left out."
  type        = string
  default     = "lambda-llm-"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,36}$", var.name_prefix))
    error_message = "name_prefix must be 1 to 37 lower-case letters, digits or hyphens, beginning with a letter or digit."
  }
}

variable "models" {
  description = "Models to hand out references for, by name. `file`: a local GGUF file that Terraform uploads. Without it the object is there already, pushed with `lambda-llm push`: only `key` is needed, and the newest version is taken unless `version_id` pins one. `key` defaults to `models/` plus the file's name."
  type = map(object({
    file       = optional(string)
    key        = optional(string)
    version_id = optional(string)
    size       = optional(number)
    sha256     = optional(string)
    memory = optional(object({
      kv_per_token   = object({ f16 = number, q8_0 = number })
      per_token      = number
      fixed          = number
      context_length = optional(number)
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for model in var.models : model.file != null || model.key != null])
    error_message = "Each of models needs a file to upload, or the key of an object that was pushed with `lambda-llm push`."
  }

  validation {
    condition     = alltrue([for model in var.models : model.file == null || try(fileexists(model.file), false)])
    error_message = "There is no file where models says: correct the path (it is relative to where terraform runs; $${path.module} helps)."
  }

  validation {
    condition     = alltrue([for model in var.models : model.file == null || (model.version_id == null && model.size == null && model.sha256 == null)])
    error_message = "What Terraform uploads from a file gets its version, size and SHA-256 by that: leave version_id, size and sha256 out, or leave file out."
  }

  validation {
    condition     = alltrue([for model in var.models : model.key == null || can(regex("^models/[^*?$]+$", model.key))])
    error_message = "Each model's key must lie below models/, as in \"models/llama.gguf\": the other prefixes of this bucket are for state, which expires."
  }

  validation {
    condition     = alltrue([for model in var.models : model.sha256 == null || can(regex("^[0-9a-fA-F]{64}$", model.sha256))])
    error_message = "Each model's sha256 must be 64 hex digits, as `lambda-llm push` prints it."
  }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the bucket. Default: S3's own encryption (AES-256)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias: IAM policies that use it do not follow aliases."
  }
}

variable "create_kms_key" {
  description = "Create a KMS key for the bucket ($1 a month)."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.create_kms_key && var.kms_key_arn != null)
    error_message = "Either a key is created (create_kms_key) or one is given (kms_key_arn): leave one of them out."
  }
}

variable "noncurrent_model_days" {
  description = "How long a model that was replaced is kept, in days. A published version of a function goes on needing the model it was made from."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.noncurrent_model_days >= 1 && floor(var.noncurrent_model_days) == var.noncurrent_model_days
    error_message = "noncurrent_model_days must be a whole number of days, 1 or more."
  }
}

variable "state_days" {
  description = "How long state by reference (documents, tool results) is kept below `state/`, in days."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.state_days >= 1 && floor(var.state_days) == var.state_days
    error_message = "state_days must be a whole number of days, 1 or more: S3 expires objects by the day."
  }
}

variable "session_days" {
  description = "How long the KV caches of conversations are kept below `sessions/`, in days."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.session_days >= 1 && floor(var.session_days) == var.session_days
    error_message = "session_days must be a whole number of days, 1 or more: S3 expires objects by the day."
  }
}

variable "access_log" {
  description = "Bucket, and prefix in it, that S3 writes access logs to. Default: none."
  type = object({
    bucket = string
    prefix = optional(string, "s3-access/")
  })
  default = null

  validation {
    condition     = var.access_log == null || try(var.access_log.bucket != var.name, false)
    error_message = "access_log.bucket is this bucket itself: each log would be logged again. Name another bucket."
  }
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete the bucket with everything in it, models included."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags for everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
