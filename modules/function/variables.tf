variable "name" {
  description = "Name of the function; its log group and role are named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores: Lambda takes no other for a function."
  }
}

variable "function" {
  description = "Which of the project's functions it is, as manifests name them: `inference`, `pruner`."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+(-[a-z]+)*$", var.function))
    error_message = "function must be the name that a manifest gives its function, as in inference or pruner: lower-case letters and hyphens."
  }
}

variable "mark" {
  description = "Value of the tag `lambda-llm`, by which the project's policies know what a function is here for."
  type        = string

  validation {
    condition     = contains(["inference", "durable-agent", "version-pruner", "router", "batch", "sandbox"], var.mark)
    error_message = "mark must be one that the project's policies know: inference, durable-agent, version-pruner, router, batch or sandbox."
  }
}

variable "package" {
  description = "The function's zip, as `make package` builds it: `path` of a local file, or `s3` for one that was uploaded; `manifest` is the path of the manifest beside it (default: next to `path`)."
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

variable "role_description" {
  description = "What the role is for, as IAM shows it."
  type        = string
}

variable "path" {
  description = "IAM path of the role, where what may be made is decided by paths; another one makes another role."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-~]{1,510}/)?$", var.path))
    error_message = "path must begin and end with a slash, as in /teams/search/, and have 512 characters at most, none of them a space: IAM takes no other."
  }
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds what the role can ever be allowed, for accounts that ask for one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[^*\\s]+$", var.permissions_boundary))
    error_message = "permissions_boundary must be the ARN of a managed policy (arn:aws:iam::ACCOUNT:policy/NAME)."
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

variable "log_kms_key_arn" {
  description = "KMS key for the log group; its policy must let CloudWatch Logs use it. Default: CloudWatch's own encryption."
  type        = string
  default     = null

  validation {
    condition     = var.log_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "tags" {
  description = "Tags for everything that is made here, and for the function."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.tags), "lambda-llm")
    error_message = "The tag lambda-llm is the mark by which the project's policies know its functions: use another name."
  }
}
