variable "function_arn" {
  description = "ARN of the function whose unused versions are deleted, without version or alias: `function_arn` of the module inference."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]+$", var.function_arn))
    error_message = "function_arn must be the ARN of one function without version or alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME): the pruner's role is limited to it."
  }
}

variable "name" {
  description = "Name of the pruner. Default: the function's name and `-pruner`."
  type        = string
  default     = null
}

variable "package" {
  description = "The zip of the pruner, lambda-llm-pruner-arm64.zip, as `make package` builds it: `path` of a local file, or `s3` for one that was uploaded; `manifest` is the path of the manifest beside it (default: next to `path`)."
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

variable "keep_newest" {
  description = "How many of the newest versions stay although no alias uses them. 1 spares the one that was just published; 2 also the one before it, to roll back to (about $39 a month)."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.keep_newest >= 1 && floor(var.keep_newest) == var.keep_newest
    error_message = "keep_newest must be a whole number, 1 or more: the newest version may have been published a moment ago, and its alias is about to move."
  }
}

variable "schedule" {
  description = "When to prune, as a rate or cron expression of EventBridge Scheduler; null: only when the pruner is invoked."
  type        = string
  default     = "rate(1 day)"

  validation {
    condition     = var.schedule == null || can(regex("^(rate|cron)\\(.+\\)$", var.schedule))
    error_message = "schedule must be an expression of EventBridge Scheduler, as in rate(1 day) or cron(0 4 * * ? *); null for no schedule."
  }
}

variable "path" {
  description = "IAM path of both roles, the pruner's and the scheduler's, where what may be made is decided by paths; others make other roles."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds what they can ever be allowed, for accounts that ask for one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 365
  nullable    = false
}

variable "tags" {
  description = "Tags for everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
