variable "function" {
  description = "The function with the canary: the module inference as a whole (`function = module.inference`), or its outputs of these names."
  type = object({
    function_name = string
    function_arn  = string
    alias_name    = string
    version       = string
  })

  validation {
    condition     = can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]+$", var.function.function_arn))
    error_message = "function.function_arn must be the ARN of one function without version or alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME): the role is limited to it."
  }

  validation {
    condition     = can(regex("^[0-9]+$", var.function.version))
    error_message = "function.version must be the number of the published version that has a share of the requests."
  }
}

variable "name" {
  description = "Name of the rollback's function, with which the alarms' names begin. Default: the function's name with the suffix `-rollback`."
  type        = string
  default     = null
}

variable "package" {
  description = "Zip of the rollback, lambda-llm-canary-rollback-arm64.zip, as `make package` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip in S3 that was signed since."
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
}

variable "errors" {
  description = "Number of failed invocations of the newest version within `period` at which it is rolled back; null for no such alarm."
  type        = number
  default     = 1

  validation {
    condition     = var.errors == null || try(var.errors >= 1 && floor(var.errors) == var.errors, false)
    error_message = "errors must be a whole number of failed invocations, 1 or more, or null for no alarm on errors."
  }
}

variable "duration_ms" {
  description = "Duration in milliseconds that a tenth of the newest version's invocations may exceed before it is rolled back. Default: no such alarm, as durations follow the lengths of answers."
  type        = number
  default     = null

  validation {
    condition     = var.duration_ms == null || try(var.duration_ms > 0, false)
    error_message = "duration_ms must be a number of milliseconds above 0, or null for no alarm on durations."
  }
}

variable "period" {
  description = "Seconds over which invocations are counted: a multiple of 60, because Lambda's metrics come once a minute."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.period >= 60 && var.period % 60 == 0
    error_message = "period must be a multiple of 60 seconds, because Lambda's metrics come once a minute."
  }
}

variable "evaluation_periods" {
  description = "Number of periods in a row that must exceed a threshold."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.evaluation_periods >= 1 && floor(var.evaluation_periods) == var.evaluation_periods
    error_message = "evaluation_periods must be a whole number of periods, 1 or more."
  }
}

variable "alarms" {
  description = "Further alarms that may roll back, by a name of your choice: the ARN of each, whose `alarm_actions` have the output `function_arn`."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.alarms) : can(regex("^arn:[a-z-]+:cloudwatch:[a-z0-9-]+:[0-9]{12}:alarm:[^*]+$", arn))])
    error_message = "Each of alarms must be the ARN of one alarm (arn:aws:cloudwatch:REGION:ACCOUNT:alarm:NAME): nothing else may roll back."
  }

  validation {
    condition     = alltrue([for key in keys(var.alarms) : can(regex("^[a-zA-Z0-9_-]{1,80}$", key))])
    error_message = "The names in alarms must be 1 to 80 letters, digits, hyphens or underscores: they are part of permissions' ids."
  }

  validation {
    condition     = var.errors != null || var.duration_ms != null || length(var.alarms) > 0
    error_message = "errors and duration_ms are null and alarms is empty, so nothing would ever roll back: set one of them."
  }
}

variable "topic_arn" {
  description = "ARN of an SNS topic that the module's alarms notify too."
  type        = string
  default     = null

  validation {
    condition     = var.topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]+$", var.topic_arn))
    error_message = "topic_arn must be the ARN of a standard SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME): alarms notify no FIFO topic."
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
