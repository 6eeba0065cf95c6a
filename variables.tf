variable "name" {
  description = "Name of the function."
  type        = string
  default     = "lambda-llm"
  nullable    = false
}

variable "model" {
  description = "What to serve. Either `file`: a local GGUF file, which Terraform uploads; or an object that was pushed before: all that `lambda-llm push --json` printed, `jsondecode(file(\"model.json\"))`."
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

  validation {
    condition     = (var.model.file == null) != (var.model.bucket == null)
    error_message = "model needs either file, a local GGUF file to upload, or what `lambda-llm push MODEL s3://BUCKET/KEY --json` printed, and not both."
  }

  validation {
    condition     = var.model.file != null || (var.model.key != null && var.model.version_id != null && var.model.size != null && var.model.sha256 != null)
    error_message = "A pushed model needs key, version_id, size and sha256 besides bucket: give all that `lambda-llm push --json` printed."
  }
}

variable "package" {
  description = "The zip of the inference function, as `make package` builds it; see the module inference. Default: dist/lambda-llm-inference-arm64.zip in this folder, where `make package` leaves it."
  type = object({
    path     = optional(string)
    manifest = optional(string)
    s3 = optional(object({
      bucket     = string
      key        = string
      version_id = optional(string)
    }))
  })
  default = null
}

variable "pruner_package" {
  description = "The zip of the version pruner; see the module version-pruner. Default: dist/lambda-llm-pruner-arm64.zip in this folder."
  type = object({
    path     = optional(string)
    manifest = optional(string)
    s3 = optional(object({
      bucket     = string
      key        = string
      version_id = optional(string)
    }))
  })
  default = null
}

variable "context" {
  description = "Context length in tokens. Default: the model's own, 4,096 at most."
  type        = number
  default     = null
}

variable "system_prompt" {
  description = "Evaluated before the snapshot and kept: the text, or `s3://bucket/key` of an object that holds a longer one."
  type        = string
  default     = null
}

variable "callers" {
  description = "Who may call besides what IAM policies in this account allow: account ids, or ARNs of IAM roles and users."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "reserved_concurrency" {
  description = "Most environments at one time, which caps what the function can cost. Default: the account's limit."
  type        = number
  default     = null
}

variable "keep_sessions" {
  description = "Keep the KV caches of conversations in the bucket for a day, so that a turn costs only what is new."
  type        = bool
  default     = false
  nullable    = false
}

variable "path" {
  description = "IAM path of every role, where what may be made is decided by paths; another one makes other roles."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds what the roles can ever be allowed, for accounts that ask for one."
  type        = string
  default     = null
}

variable "create_kms_key" {
  description = "Encrypt the bucket with a KMS key of its own ($1 a month) instead of S3's."
  type        = bool
  default     = false
  nullable    = false
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
