variable "function_arn" {
  description = "ARN, without version or alias, of the function whose unused versions are deleted: the output `function_arn` of the module inference."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]+$", var.function_arn))
    error_message = "function_arn must be the ARN of one function without version or alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME): the pruner's role is limited to it."
  }
}

variable "name" {
  description = "Name of the pruner. Default: the function's name with the suffix `-pruner`."
  type        = string
  default     = null
}

variable "package" {
  description = "Zip of the pruner, lambda-llm-pruner-arm64.zip, as `make package` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip in S3 that was signed since."
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

variable "keep_newest" {
  description = "Number of newest versions to keep even if no alias uses them: 1 keeps the newest; 2 also the one before it, for a rollback (about $39 a month)."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.keep_newest >= 1 && floor(var.keep_newest) == var.keep_newest
    error_message = "keep_newest must be a whole number, 1 or more: the newest version may just have been published, before its alias moves to it."
  }
}

variable "schedule" {
  description = "When to prune, as a rate or cron expression of EventBridge Scheduler; null for no schedule."
  type        = string
  default     = "rate(1 day)"

  validation {
    condition     = var.schedule == null || can(regex("^(rate\\([1-9][0-9]* (minute|hour|day)s?\\)|cron\\(.+\\))$", var.schedule))
    error_message = "schedule must be a rate or cron expression of EventBridge Scheduler, such as rate(1 day) or cron(0 4 * * ? *), or null for no schedule."
  }
}

variable "path" {
  description = "IAM path of both roles, the pruner's and the scheduler's, for accounts whose policies restrict roles by path; changing it replaces the roles."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of both roles, for accounts that require one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Retention of the logs in days."
  type        = number
  default     = 365
  nullable    = false
}

variable "log_level" {
  description = "Level from which on lines of the log are written: `TRACE`, `DEBUG` or `INFO`. Above it there would be no figures."
  type        = string
  default     = "INFO"
  nullable    = false
}

variable "tags" {
  description = "Tags for every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false
}
