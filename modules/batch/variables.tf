variable "name" {
  description = "Name of the state machine, and the beginning of the names of its functions (`-index`, `-worker`), their log groups and roles, and the alarms."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,57}$", var.name))
    error_message = "name must be 1 to 57 letters, digits, hyphens or underscores, so that the functions named after it have valid names too."
  }
}

variable "package" {
  description = "Zip of the batch functions, as `make package` builds it: lambda-llm-batch-arm64.zip. `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip in S3 that was signed since."
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

variable "models" {
  description = "What batches may ask for: models by the name that records give, each with its `operations` (paths of requests), the longest answer (`max_tokens`) and at least one backend, by names of your choice. `lambda`: an alias of a function for inference, its speed in tokens a second (`lambda-llm bench` measures both), and how many requests may be there at once: either `concurrency`, or the function's `reserved_concurrency` and how many of its environments stay for `interactive` requests (0: nobody else asks it); `parallel` are those of one worker, `timeout` is the function's, `url` that of a VPC endpoint for Lambda. `bedrock`: id of a model or inference profile, the `arns` that a job of it needs (of a profile also its foundation models in each region), dollars for a million tokens in batches, hours that a job may take and the account's smallest number of `records`; `role` is one that Bedrock may take, as the resource `aws_iam_role` or its ARN (default: it is made here). `gpu`: queue and job definition of AWS Batch, dollars for an hour of an instance, and the speed of all its requests together."
  type = map(object({
    operations = list(string)
    max_tokens = optional(number, 1024)
    lambda = optional(map(object({
      function             = string
      model                = string
      prefill              = number
      decode               = number
      concurrency          = optional(number)
      reserved_concurrency = optional(number)
      interactive          = optional(number)
      parallel             = optional(number, 4)
      timeout              = optional(number, 900)
      url                  = optional(string)
    })), {})
    bedrock = optional(map(object({
      model   = string
      arns    = list(string)
      region  = optional(string)
      role    = optional(object({ arn = string }))
      input   = number
      output  = number
      hours   = optional(number, 24)
      records = optional(number, 100)
    })), {})
    gpu = optional(map(object({
      queue         = string
      definition    = string
      model         = string
      hourly        = number
      prefill       = number
      decode        = number
      instances     = optional(number, 1)
      start_seconds = optional(number, 400)
      parallel      = optional(number, 64)
    })), {})
  }))
  nullable = false

  validation {
    condition     = length(var.models) > 0 && alltrue([for name in keys(var.models) : can(regex("^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", name))])
    error_message = "models must have at least one model, and each a name of 1 to 128 letters, digits or any of . _ : / -, beginning with a letter or digit."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : length(model.operations) > 0 && length(setsubtract(model.operations, ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/rerank"])) == 0])
    error_message = "Each model must have one or more operations, which are /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages, /v1/embeddings and /v1/rerank."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : model.max_tokens >= 1 && floor(model.max_tokens) == model.max_tokens])
    error_message = "Each model's max_tokens must be a whole number of tokens, 1 or more: what an answer may have at most is what a batch may cost at most."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : length(model.lambda) + length(model.bedrock) + length(model.gpu) > 0])
    error_message = "Each model must have a backend that may answer: one or more of lambda, bedrock and gpu."
  }

  validation {
    condition = alltrue([for names in [for model in values(var.models) : concat(keys(model.lambda), keys(model.bedrock), keys(model.gpu))] :
    length(distinct([for name in names : lower(name)])) == length(names) && alltrue([for name in names : can(regex("^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", name))])])
    error_message = "The names of a model's backends must differ, whatever their kind and by more than case, and have 1 to 128 letters, digits or any of . _ : / -, beginning with a letter or digit."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in concat(values(model.lambda), values(model.gpu)) : length(backend.model) > 0]])) && alltrue(flatten([for model in values(var.models) : [for backend in values(model.bedrock) : length(backend.model) > 0]]))
    error_message = "Each backend's model must be the name by which the backend itself knows it."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.lambda) : can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]{1,64}:[a-zA-Z_-][a-zA-Z0-9_-]*$", backend.function))]]))
    error_message = "The function of a lambda backend must be the ARN of one alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS): the workers may invoke nothing else."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.lambda) : (backend.concurrency == null) != (backend.reserved_concurrency == null)]]))
    error_message = "A lambda backend has both or neither of concurrency and reserved_concurrency: set either how many requests may be there at once, or the function's reserved concurrency and what of it stays for interactive requests."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.lambda) : backend.reserved_concurrency == null ? backend.interactive == null : try(backend.interactive >= 0 && floor(backend.interactive) == backend.interactive, false)]]))
    error_message = "A lambda backend with reserved_concurrency must say how many environments stay for interactive requests, a whole number (0 if nobody else asks the function); one with concurrency says nothing of them."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.lambda) : try(backend.concurrency != null ? backend.concurrency : backend.reserved_concurrency - backend.interactive, 1) >= 1 && try(floor(backend.concurrency) == backend.concurrency, floor(backend.reserved_concurrency) == backend.reserved_concurrency, true)]]))
    error_message = "A lambda backend leaves no environment for batches: concurrency, or reserved_concurrency less what stays for interactive requests, must be a whole number, 1 or more."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.lambda) : backend.prefill > 0 && backend.decode > 0 && backend.parallel >= 1 && floor(backend.parallel) == backend.parallel && backend.timeout >= 1 && backend.timeout <= 900 && floor(backend.timeout) == backend.timeout]]))
    error_message = "A lambda backend needs prefill and decode in tokens a second, above 0; parallel, a whole number of requests; and timeout, the function's, a whole number of seconds from 1 to 900."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.lambda) : backend.url == null || can(regex("^https?://[^/\\s]+$", backend.url))]]))
    error_message = "The url of a lambda backend must be the address of an endpoint for Lambda, https:// and a host without a path."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.bedrock) : length(backend.arns) > 0 && alltrue([for arn in backend.arns : can(regex("^arn:aws[a-z-]*:bedrock:([a-z0-9-]*::foundation-model|[a-z0-9-]+:[0-9]{12}:(inference-profile|application-inference-profile|custom-model|provisioned-model|imported-model))/[A-Za-z0-9._:/-]+$", arn))])]]))
    error_message = "The arns of a bedrock backend must be those of models and inference profiles (arn:aws:bedrock:REGION::foundation-model/ID, arn:aws:bedrock:REGION:ACCOUNT:inference-profile/ID): jobs may ask nothing else."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.bedrock) : (backend.region == null || can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]+$", backend.region))) && (backend.role == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[^*\\s]+$", backend.role.arn)))]]))
    error_message = "The role of a bedrock backend must have the ARN of a role that Bedrock may take (arn:aws:iam::ACCOUNT:role/NAME), as the resource aws_iam_role does, and its region the name of one; leave them out for a role that is made here and this module's region."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.bedrock) : backend.input >= 0 && backend.output >= 0 && backend.hours >= 24 && backend.hours <= 168 && floor(backend.hours) == backend.hours && backend.records >= 1 && floor(backend.records) == backend.records]]))
    error_message = "A bedrock backend needs input and output in dollars for a million tokens, 0 or more; hours from 24 to 168, which is what Bedrock accepts for a job; and records, a whole number, 1 or more."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.gpu) : can(regex("^arn:aws[a-z-]*:batch:[a-z0-9-]+:[0-9]{12}:job-queue/[A-Za-z0-9_-]+$", backend.queue)) && can(regex("^arn:aws[a-z-]*:batch:[a-z0-9-]+:[0-9]{12}:job-definition/[A-Za-z0-9_-]+(:[0-9]+)?$", backend.definition))]]))
    error_message = "A gpu backend needs the ARNs of one queue (arn:aws:batch:REGION:ACCOUNT:job-queue/NAME) and one job definition (arn:aws:batch:REGION:ACCOUNT:job-definition/NAME:REVISION): nothing else may be started."
  }

  validation {
    condition     = alltrue(flatten([for model in values(var.models) : [for backend in values(model.gpu) : backend.hourly > 0 && backend.prefill > 0 && backend.decode > 0 && backend.start_seconds > 0 && backend.instances >= 1 && floor(backend.instances) == backend.instances && backend.parallel >= 1 && floor(backend.parallel) == backend.parallel]]))
    error_message = "A gpu backend needs hourly in dollars, prefill and decode in tokens a second and start_seconds, all above 0, and whole numbers of instances and of parallel requests."
  }
}

variable "store" {
  description = "Where files and batches are: below `prefix` (ending in a slash; default: none) of a bucket that is made here, called `name` (default: this module's name and a unique suffix), or of an `existing` bucket, by its name and the ARN of its KMS key. An existing bucket keeps its own rules: the README says which it needs."
  type = object({
    name   = optional(string)
    prefix = optional(string, "")
    existing = optional(object({
      bucket      = string
      kms_key_arn = optional(string)
    }))
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.store.name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.store.name))
    error_message = "store.name must be 3 to 63 lower-case letters, digits or hyphens, beginning and ending with a letter or digit. S3 accepts dots too, but its TLS certificate does not cover such names."
  }

  validation {
    condition     = var.store.existing == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.store.existing.bucket)) && var.store.name == null
    error_message = "store.existing.bucket must be the name of a bucket, without s3://, and store.name is for one that is made here: leave out one or the other."
  }

  validation {
    condition     = var.store.prefix == "" || can(regex("^[A-Za-z0-9!_.()-][A-Za-z0-9!_.()/-]{0,199}/$", var.store.prefix)) && !strcontains(var.store.prefix, "//")
    error_message = "store.prefix must be empty or end in a slash, without one at its beginning or two in a row, and have at most 201 letters, digits or any of ! _ . ( ) / -, which no policy takes for wildcards."
  }

  validation {
    condition     = try(var.store.existing.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.store.existing.kms_key_arn))
    error_message = "store.existing.kms_key_arn must be the ARN of the bucket's key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "inbox" {
  description = "Uploads below `inbox/` of the store that start batches by themselves, for one `tenant`: as soon as they are there (`on_upload`, by an event of S3), and by a `schedule` (rate(1 hour) or cron(…)), which also finds those whose event was lost. None of their batches costs more than `max_dollars`. Default: uploads start nothing."
  type = object({
    tenant      = string
    on_upload   = optional(bool, true)
    schedule    = optional(string)
    max_dollars = optional(number)
  })
  default = null

  validation {
    condition     = var.inbox == null || try(length(var.inbox.tenant) > 0 && length(var.inbox.tenant) <= 512, false)
    error_message = "inbox.tenant must name the tenant, in 1 to 512 characters, to whom the batches of uploads belong."
  }

  validation {
    condition     = var.inbox == null || try(var.inbox.on_upload || var.inbox.schedule != null, false)
    error_message = "inbox has neither on_upload nor schedule, so that no upload would ever start a batch: set one of them, or leave inbox out."
  }

  validation {
    condition     = try(var.inbox.schedule, null) == null || can(regex("^(rate|cron)\\([^)]+\\)$", var.inbox.schedule))
    error_message = "inbox.schedule must be a schedule expression, such as rate(1 hour) or cron(0 3 * * ? *)."
  }

  validation {
    condition     = try(var.inbox.max_dollars, null) == null || try(var.inbox.max_dollars >= 0, false)
    error_message = "inbox.max_dollars must be what a batch of an upload may cost in US dollars, 0 or more; leave it out for no limit."
  }
}

variable "days" {
  description = "Days until S3 deletes what is below each prefix of the bucket that is made here: `files` (inputs and outputs), `uploads`, `inbox`, `batches` (their records) and `work` (what a batch needs while it runs or is resumed, and so the longest that an execution may take)."
  type = object({
    files   = optional(number, 30)
    uploads = optional(number, 30)
    inbox   = optional(number, 30)
    batches = optional(number, 90)
    work    = optional(number, 14)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for days in values(var.days) : days >= 1 && days <= 36500 && floor(days) == days])
    error_message = "Each of days must be a whole number of days from 1 to 36,500, the unit of S3 lifecycle rules."
  }

  validation {
    condition     = var.days.work >= 8
    error_message = "days.work must be 8 or more: a batch has up to 168 hours, and what its output is joined from must still be there afterwards."
  }
}

variable "environment" {
  description = "Further environment variables of both functions, such as `AWS_EC2_METADATA_DISABLED` or those of a library. No secrets: state and console show them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Za-z][A-Za-z0-9_]+$", name)) && value != null])
    error_message = "Each of environment must have a name of two or more letters, digits or underscores that begins with a letter, and a value."
  }

  validation {
    condition     = length([for name in keys(var.environment) : name if startswith(name, "LAMBDA_LLM_BATCH_") || startswith(name, "AWS_LAMBDA_") || contains(["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], name)]) == 0
    error_message = "environment has a variable that this module sets by store, or one of Lambda's: remove it, and use that input."
  }
}

variable "tracing" {
  description = "`PassThrough`: executions and invocations are traced in X-Ray if their caller traces them; `Active`: Step Functions and Lambda sample and trace them."
  type        = string
  default     = "PassThrough"
  nullable    = false

  validation {
    condition     = contains(["PassThrough", "Active"], var.tracing)
    error_message = "tracing must be PassThrough or Active."
  }
}

variable "topic_arn" {
  description = "ARN of an SNS topic that the alarms notify. Default: they notify nobody."
  type        = string
  default     = null

  validation {
    condition     = var.topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]+$", var.topic_arn))
    error_message = "topic_arn must be the ARN of a standard SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME): alarms notify no FIFO topic."
  }
}

variable "access_log" {
  description = "Bucket and prefix that S3 writes access logs of the bucket that is made here to. Default: no access logs."
  type = object({
    bucket = string
    prefix = optional(string, "s3-access/")
  })
  default = null

  validation {
    condition     = var.access_log == null || try(length(var.access_log.bucket) > 0 && var.access_log.bucket != var.store.name, false)
    error_message = "access_log.bucket must be another bucket than this one, whose every log would be logged again."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key for what is made here: the bucket and the functions' environment. Its policy must allow what the roles do. Default: keys of AWS's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes the bucket with the tenants' files and batches in it."
  type        = bool
  default     = false
  nullable    = false
}

variable "path" {
  description = "IAM path of the roles, for accounts whose policies restrict roles by path; changing it replaces the roles."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the roles' permissions boundary, for accounts that require one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Retention of the logs in days. Neither requests nor answers are ever logged."
  type        = number
  default     = 365
  nullable    = false
}

variable "log_kms_key_arn" {
  description = "ARN of the KMS key for the log groups; its key policy must allow CloudWatch Logs to use it. Default: CloudWatch's own encryption."
  type        = string
  default     = null
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
