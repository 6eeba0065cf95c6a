variable "name" {
  description = "Name of the function; its log group and role are named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores, which is all that Lambda accepts."
  }
}

variable "function" {
  description = "Which of the project's functions this is, by its name in manifests: `inference` or `pruner`."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+(-[a-z]+)*$", var.function))
    error_message = "function must be the name of a function as in the manifests, such as inference or pruner: lower-case letters and hyphens."
  }
}

variable "mark" {
  description = "Value of the tag `lambda-llm`, by which the project's policies recognize the kind of a function."
  type        = string

  validation {
    condition     = contains(["inference", "durable-agent", "version-pruner", "router", "batch", "sandbox"], var.mark)
    error_message = "mark must be a value that the project's policies recognize: inference, durable-agent, version-pruner, router, batch or sandbox."
  }
}

variable "package" {
  description = "The function's zip, as `make package` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`)."
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
    error_message = "package has both or neither of path and s3: set either path (a local zip) or s3 (an uploaded one)."
  }

  validation {
    condition     = var.package.path == null || try(fileexists(var.package.path), false)
    error_message = "package.path names no existing file: build the package with `make package`, or correct the path (relative paths start at the folder where terraform runs; use $${path.module})."
  }
}

variable "role_description" {
  description = "Description of the role in IAM."
  type        = string
}

variable "path" {
  description = "IAM path of the role, for accounts whose policies restrict roles by path; changing it replaces the role."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-~]{1,510}/)?$", var.path))
    error_message = "path must begin and end with a slash, as in /teams/search/, with at most 512 characters and no spaces, as IAM requires."
  }
}

variable "permissions_boundary" {
  description = "ARN of the role's permissions boundary, for accounts that require one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[^*\\s]+$", var.permissions_boundary))
    error_message = "permissions_boundary must be the ARN of a managed policy (arn:aws:iam::ACCOUNT:policy/NAME)."
  }
}

variable "log_retention_days" {
  description = "Retention of the logs in days."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the retention periods of CloudWatch Logs: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653; 0 (never expire) is not allowed."
  }
}

variable "log_kms_key_arn" {
  description = "ARN of the KMS key for the log group; its key policy must allow CloudWatch Logs to use it. Default: CloudWatch's own encryption."
  type        = string
  default     = null

  validation {
    condition     = var.log_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "tags" {
  description = "Tags for every resource here that supports them, and for the function."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.tags), "lambda-llm")
    error_message = "tags sets lambda-llm, which this module sets so that the project's policies recognize the function: use another name."
  }
}
