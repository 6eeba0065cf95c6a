variable "name" {
  description = "Name of the bucket. Default: `name_prefix` and a unique suffix."
  type        = string
  default     = null

  validation {
    condition     = var.name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 63 lower-case letters, digits or hyphens, beginning and ending with a letter or digit. S3 accepts dots too, but its TLS certificate does not cover such names."
  }
}

variable "name_prefix" {
  description = "Prefix of the bucket's name if `name` is left out."
  type        = string
  default     = "lambda-llm-"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,36}$", var.name_prefix))
    error_message = "name_prefix must be 1 to 37 lower-case letters, digits or hyphens, beginning with a letter or digit."
  }
}

variable "models" {
  description = "Models by name, for which the output `models` has references. With `file`, Terraform uploads a local GGUF file. Without it, the object was pushed with `lambda-llm push`: only `key` is required, and the newest version is used unless `version_id` pins one. `key` defaults to `models/` plus the file's name."
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
    condition     = alltrue([for model in var.models : try(model.file != null || model.key != null, false)])
    error_message = "A model has neither file nor key: set file (a local GGUF file to upload), or key (an object pushed with `lambda-llm push`)."
  }

  validation {
    condition     = alltrue([for model in var.models : try(model.file, null) == null || try(fileexists(model.file), false)])
    error_message = "A model's file does not exist: correct the path (relative paths start at the folder where terraform runs; use $${path.module})."
  }

  validation {
    condition     = alltrue([for model in var.models : try(model.file, null) == null || try(endswith(lower(model.file), ".gguf"), false)])
    error_message = "A model's file does not end in .gguf: set the path of a GGUF file. (What is in it is checked by `lambda-llm inspect`, and again when the function loads it.)"
  }

  validation {
    condition     = alltrue([for model in var.models : try(model.file == null || (model.version_id == null && model.size == null && model.sha256 == null), true)])
    error_message = "A model has file together with version_id, size or sha256, which the upload determines: leave those out, or leave file out."
  }

  validation {
    condition     = alltrue([for model in var.models : try(model.file == null && model.key == null, true) || can(regex("^models/[^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]+$", model.key != null ? model.key : "models/${basename(model.file)}"))])
    error_message = "Each model's key must begin with models/, as in \"models/llama.gguf\", because objects below the bucket's other prefixes expire, and neither it nor the file's name may have *, ?, $ or a character beyond ÿ, which no policy can name literally."
  }

  validation {
    condition     = length(distinct([for model in var.models : model.key != null ? model.key : "models/${basename(model.file)}" if try(model.file, null) != null])) == length([for model in var.models : model if try(model.file, null) != null])
    error_message = "Two files would be uploaded to the same key, so that one would replace the other: set key, which defaults to models/ plus the file's name, for one of them."
  }

  validation {
    condition     = alltrue([for model in var.models : try(model.size, null) == null || try(model.size > 0 && floor(model.size) == model.size, false)])
    error_message = "Each model's size must be the size of the file in bytes, as `lambda-llm push --json` prints it."
  }

  validation {
    condition     = alltrue([for model in var.models : try(model.sha256, null) == null || can(regex("^[0-9a-fA-F]{64}$", model.sha256))])
    error_message = "Each model's sha256 must be 64 hex digits, as `lambda-llm push` prints it."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the bucket. Default: S3's own encryption (AES-256)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias: IAM policies do not resolve aliases."
  }
}

variable "create_kms_key" {
  description = "Create a KMS key for the bucket ($1 a month)."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.create_kms_key && var.kms_key_arn != null)
    error_message = "create_kms_key and kms_key_arn are both set: leave one of them out."
  }
}

variable "noncurrent_model_days" {
  description = "Days until a replaced model is deleted. A published version of a function needs its model for as long as it exists."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.noncurrent_model_days >= 1 && var.noncurrent_model_days <= 36500 && floor(var.noncurrent_model_days) == var.noncurrent_model_days
    error_message = "noncurrent_model_days must be a whole number of days from 1 to 36,500."
  }
}

variable "state_days" {
  description = "Days until state by reference (documents, tool results) below `state/` is deleted."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.state_days >= 1 && var.state_days <= 36500 && floor(var.state_days) == var.state_days
    error_message = "state_days must be a whole number of days from 1 to 36,500, the unit of S3 lifecycle rules."
  }
}

variable "session_days" {
  description = "Days until the KV caches of conversations below `sessions/` are deleted."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.session_days >= 1 && var.session_days <= 36500 && floor(var.session_days) == var.session_days
    error_message = "session_days must be a whole number of days from 1 to 36,500, the unit of S3 lifecycle rules."
  }
}

variable "access_log" {
  description = "Bucket and prefix that S3 writes access logs to. Default: no access logs."
  type = object({
    bucket = string
    prefix = optional(string, "s3-access/")
  })
  default = null

  validation {
    condition     = var.access_log == null || try(length(var.access_log.bucket) > 0 && var.access_log.bucket != var.name, false)
    error_message = "access_log.bucket must be another bucket than this one, whose every log would be logged again."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes a bucket that is not empty, models included."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags for every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 48
    error_message = "tags has more than 48 tags: AWS accepts 50 for a resource, and this module adds two."
  }

  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$", key)) && can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,256}$", value)) && !startswith(lower(key), "aws:")])
    error_message = "Each of tags must be one that AWS accepts: a key of 1 to 128 and a value of at most 256 letters, digits, spaces or any of _ . : / = + - @, and no key that begins with aws:."
  }
}
