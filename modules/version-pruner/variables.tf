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

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.name != null ? var.name : "${substr(element(split(":", var.function_arn), 6), 0, 57)}-pruner"))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores: Lambda takes no other for a function."
  }
}

variable "package" {
  description = "The function's zip, as `make package` builds it: `path` of a local file, or `s3` for one that was uploaded; `manifest` is the path of the manifest beside it (default: next to `path`). The pruner is a handler in the same package."
  type = object({
    path     = optional(string)
    manifest = optional(string)
    s3 = optional(object({
      bucket     = string
      key        = string
      version_id = optional(string)
    }))
  })

  validation {
    condition     = (var.package.path == null) != (var.package.s3 == null)
    error_message = "package needs either path (a local zip) or s3 (an uploaded one), and not both."
  }

  validation {
    condition     = var.package.path == null || try(fileexists(var.package.path), false)
    error_message = "There is no file at package.path. Build the package with `make package`, or correct the path (it is relative to where terraform runs; $${path.module} helps)."
  }
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

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653. There is no \"for ever\"."
  }
}

variable "tags" {
  description = "Tags for everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.tags), "lambda-llm")
    error_message = "The tag lambda-llm is the mark by which the project's policies know its functions: use another name."
  }
}
