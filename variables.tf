variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm"
  nullable    = false
}

variable "model" {
  description = "Model to serve: either `file`, a local GGUF file that Terraform uploads, or a pushed object, as the complete output of `lambda-llm push --json` (`jsondecode(file(\"model.json\"))`)."
  type = object({
    file        = optional(string)
    bucket      = optional(string)
    key         = optional(string)
    version_id  = optional(string)
    size        = optional(number)
    sha256      = optional(string)
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
    condition     = (var.model.file == null) != (var.model.bucket == null)
    error_message = "model has both or neither of file and bucket: set either file (a local GGUF file to upload) or the output of `lambda-llm push MODEL s3://BUCKET/KEY --json`."
  }

  validation {
    condition     = var.model.file == null || (var.model.key == null && var.model.version_id == null && var.model.size == null && var.model.sha256 == null && var.model.crc64nvme == null && var.model.kms_key_arn == null)
    error_message = "model has file together with what describes a pushed object (key, version_id, size, sha256, crc64nvme or kms_key_arn), which the upload determines: leave those out, or leave file out."
  }

  validation {
    condition     = var.model.file != null || (var.model.key != null && var.model.version_id != null && var.model.size != null && var.model.sha256 != null)
    error_message = "model lacks key, version_id, size or sha256, which a pushed model needs besides bucket: pass the complete output of `lambda-llm push --json`."
  }
}

variable "package" {
  description = "Zip of the inference function, as `make package` builds it; see the module inference. Default: dist/lambda-llm-inference-arm64.zip in this folder, the output of `make package`."
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
  default = null

  validation {
    condition     = var.package != null || fileexists(local.built["inference"].path)
    error_message = "package is left out, and there is no ${local.built["inference"].path}: run `make package` in a clone of lambda-llm and use that clone as the module's source; of a module that terraform fetches (git, a registry), nothing is built, so set package to a zip and manifest in S3 or on this machine."
  }
}

variable "pruner_package" {
  description = "Zip of the version pruner; see the module version-pruner. Default: dist/lambda-llm-pruner-arm64.zip in this folder."
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
  default = null

  validation {
    condition     = var.pruner_package != null || fileexists(local.built["pruner"].path)
    error_message = "pruner_package is left out, and there is no ${local.built["pruner"].path}: run `make package` in a clone of lambda-llm and use that clone as the module's source; of a module that terraform fetches (git, a registry), nothing is built, so set pruner_package to a zip and manifest in S3 or on this machine."
  }
}

variable "context" {
  description = "Context length in tokens. Default: the model's own, but at most 4,096."
  type        = number
  default     = null
}

variable "system_prompt" {
  description = "System prompt that is prefilled before the snapshot: the text, or `s3://bucket/key` of an object with a longer one."
  type        = string
  default     = null
}

variable "allowed_principals" {
  description = "Who may call, in addition to what IAM policies in this account allow, by a name of your choice: an account id, the ARN of an IAM role or user (of this stack, too), or the id of an organization. All callers share one cache of prompts, so one can tell whether another sent the same beginning."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "reserved_concurrency" {
  description = "Maximum number of concurrent environments, which caps the function's cost. Default: the account's limit."
  type        = number
  default     = null
}

variable "environment" {
  description = "Further environment variables of the function: settings, as in the table of the project's README, and others."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "revision" {
  description = "Any text; a new one publishes a new version with everything else unchanged: after an init that failed for a reason outside of the function, Lambda does not try again by itself."
  type        = string
  default     = null
}

variable "keep_sessions" {
  description = "Store the KV caches of conversations in the bucket for a day, so that each turn prefills only its new tokens."
  type        = bool
  default     = false
  nullable    = false
}

variable "path" {
  description = "IAM path of every role, for accounts whose policies restrict roles by path; changing it replaces the roles."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of every role, for accounts that require one."
  type        = string
  default     = null
}

variable "create_kms_key" {
  description = "Encrypt the bucket with a KMS key created for it ($1 a month) instead of S3's own keys."
  type        = bool
  default     = false
  nullable    = false
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
}
