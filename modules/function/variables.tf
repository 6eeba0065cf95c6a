variable "name" {
  description = "Name of the function; its log group and role are named after it."
  type        = string
  nullable    = false

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
    condition     = contains(["inference", "durable-agent", "version-pruner", "router", "batch", "sandbox", "authorizer", "queue-worker", "canary-rollback", "documents"], var.mark)
    error_message = "mark must be a value that the project's policies recognize: inference, durable-agent, version-pruner, router, batch, sandbox, authorizer, queue-worker, canary-rollback or documents."
  }
}

variable "package" {
  description = "The function's zip, as `make package` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip that was signed since, which changes it."
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

  validation {
    condition     = (var.package.path == null) != (var.package.s3 == null)
    error_message = "package has both or neither of path and s3: set either path (a local zip) or s3 (an uploaded one)."
  }

  validation {
    condition     = var.package.s3 == null || try(length(var.package.s3.bucket) > 0 && length(var.package.s3.key) > 0, false)
    error_message = "package.s3 needs the bucket and the key of the uploaded zip: set both, or set package.path to a local zip."
  }

  validation {
    condition     = var.package.path == null || try(fileexists(var.package.path), false)
    error_message = "package.path names no existing file: build the package with `make package`, or correct the path (relative paths start at the folder where terraform runs; use $${path.module})."
  }

  validation {
    condition     = var.package.code_sha256 == null || (var.package.s3 != null && can(regex("^[A-Za-z0-9+/]{43}=$", var.package.code_sha256)))
    error_message = "package.code_sha256 must be the SHA-256 in base64 of a zip in S3 that was signed after the build (`aws lambda get-function --query Configuration.CodeSha256` shows it in this form); leave it out for a zip as `make package` built it."
  }
}

variable "role_description" {
  description = "Description of the role in IAM."
  type        = string
}

variable "role" {
  description = "Existing role, as the resource `aws_iam_role` or its name and ARN; it must be allowed what `log_policy_json` says. Default: a role is created."
  type = object({
    name = string
    arn  = string
  })
  default = null

  validation {
    condition     = var.role == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*\\s]+$", var.role.arn)) && try(length(var.role.name) > 0, false)
    error_message = "role must have the name and the ARN (arn:aws:iam::ACCOUNT:role/NAME) of an IAM role, as the resource aws_iam_role does."
  }

  validation {
    condition     = var.role == null || (var.permissions_boundary == null && var.path == "/")
    error_message = "role is an existing role, and permissions_boundary and path are for a role that is created: leave out one or the other."
  }
}

variable "path" {
  description = "IAM path of the role, for accounts whose policies restrict roles by path; changing it replaces the role."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-)+-~]{1,510}/)?$", var.path))
    error_message = "path must begin and end with a slash, as in /teams/search/, with at most 512 characters, no spaces and no *, as IAM requires."
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

variable "log_group" {
  description = "Existing log group, as the resource `aws_cloudwatch_log_group` or its name and ARN. Default: `/aws/lambda/` and the function's name is created."
  type = object({
    name = string
    arn  = string
  })
  default = null

  validation {
    condition     = var.log_group == null || can(regex("^arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:[^:*]+(:\\*)?$", var.log_group.arn)) && try(endswith(trimsuffix(var.log_group.arn, ":*"), ":log-group:${var.log_group.name}"), false)
    error_message = "log_group must have the name and the ARN (arn:aws:logs:REGION:ACCOUNT:log-group:NAME) of one log group, as the resource aws_cloudwatch_log_group does."
  }

  validation {
    condition     = var.log_group == null || var.log_kms_key_arn == null
    error_message = "log_group and log_kms_key_arn are both set: the key of an existing log group is its owner's, so leave one of them out."
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

variable "log_level" {
  description = "Level from which on lines of the log are written: `TRACE`, `DEBUG` or `INFO`. Above it there would be no figures."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["TRACE", "DEBUG", "INFO"], var.log_level)
    error_message = "log_level must be TRACE, DEBUG or INFO: the lines from which metrics are taken have the level INFO, and Lambda would drop them."
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

  validation {
    condition     = length(setunion(keys(var.tags), ["lambda-llm", "lambda-llm:plane", "lambda-llm:component"])) <= 50
    error_message = "tags has more than 47 tags: AWS accepts 50 for a resource, and this module adds three."
  }

  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$", key)) && can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,256}$", value)) && !startswith(lower(key), "aws:")])
    error_message = "Each of tags must be one that AWS accepts: a key of 1 to 128 and a value of at most 256 letters, digits, spaces or any of _ . : / = + - @, and no key that begins with aws:."
  }
}
