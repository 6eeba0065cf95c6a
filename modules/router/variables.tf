variable "name" {
  description = "Name of the function; its log group and role, the table (`-budgets`), the worker (`-worker`) and the queues (`-background`) are named after it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,53}$", var.name))
    error_message = "name must be 1 to 53 letters, digits, hyphens or underscores, so that what is named after it has a valid name too."
  }
}

variable "description" {
  description = "Description of the function. Default: what it does."
  type        = string
  default     = null

  validation {
    condition     = var.description == null || try(length(var.description) <= 256, false)
    error_message = "description must have at most 256 characters, as Lambda requires."
  }
}

variable "package" {
  description = "Zip of the router, as `make package` builds it: lambda-llm-router-arm64.zip. `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip in S3 that was signed since."
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

variable "configuration" {
  description = "Backends, models and tenants, one of three ways: `content`, the text itself in YAML or JSON (`file(\"router.yaml\")`, or `yamlencode({…})`), which is put into a bucket that is made here; `s3`, an object that somebody else writes; or `appconfig`, a profile of AppConfig by its ARN. No secret is in it: keys are named by their ARNs."
  type = object({
    content = optional(string)
    s3 = optional(object({
      bucket      = string
      key         = string
      kms_key_arn = optional(string)
    }))
    appconfig = optional(object({
      arn = string
    }))
  })
  nullable = false

  validation {
    condition     = length([for way in [var.configuration.content, var.configuration.s3, var.configuration.appconfig] : way if way != null]) == 1
    error_message = "configuration must have exactly one of content (the text), s3 (an object) and appconfig (a profile of AppConfig)."
  }

  validation {
    condition     = var.configuration.content == null || can(keys(yamldecode(var.configuration.content))) && try(length(setsubtract(["version", "backends", "models", "tenants"], keys(yamldecode(var.configuration.content)))) == 0, false)
    error_message = "configuration.content must be YAML or JSON with version, backends, models and tenants: `lambda-llm router check FILE` says what is wrong with it."
  }

  validation {
    condition     = var.configuration.content == null || try(length(var.configuration.content) <= 1024 * 1024, false)
    error_message = "configuration.content has more than 1,048,576 characters, and the router reads no more bytes than that."
  }

  validation {
    condition     = var.configuration.s3 == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.configuration.s3.bucket)) && can(regex("^[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]([^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}])?$", var.configuration.s3.key))
    error_message = "configuration.s3 must name a bucket, without s3://, and the key of one object: no leading or trailing slash, no *, ? or $, which are wildcards and variables in the role's policy, and no character beyond ÿ."
  }

  validation {
    condition     = try(var.configuration.s3.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.configuration.s3.kms_key_arn))
    error_message = "configuration.s3.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }

  validation {
    condition     = var.configuration.appconfig == null || can(regex("^arn:[a-z-]+:appconfig:[a-z0-9-]+:[0-9]{12}:application/[a-z0-9]{4,7}/environment/[a-z0-9]{4,7}/configuration/[a-z0-9]{4,7}$", var.configuration.appconfig.arn))
    error_message = "configuration.appconfig.arn must name one profile in one environment by their ids: arn:aws:appconfig:REGION:ACCOUNT:application/ID/environment/ID/configuration/ID."
  }
}

variable "identity" {
  description = "Who says whose a request is. `iam`: the Function URL's signature, by the `principals` of the configuration's tenants. `authorizer`: that of a front door (the module front-door), which names the tenant; there is no Function URL then."
  type        = string
  default     = "iam"
  nullable    = false

  validation {
    condition     = contains(["iam", "authorizer"], var.identity)
    error_message = "identity must be iam (a Function URL with IAM) or authorizer (a front door in front of the alias)."
  }
}

variable "backends" {
  description = "ARNs of what the configuration's backends need, and nothing else: `bedrock_models` (of an inference profile also the foundation models in each of its regions), `bedrock_guardrails`, `bedrock_projects` of bedrock-mantle, `sagemaker_endpoints` (and inference components), of asynchronous ones `sagemaker_outputs` and `sagemaker_inputs` (where answers and long requests are: arn:aws:s3:::BUCKET/PREFIX/), `functions` (aliases that are invoked), `function_urls` (aliases whose URLs are called). Servers that take a key need none."
  type = object({
    bedrock_models      = optional(list(string), [])
    bedrock_guardrails  = optional(list(string), [])
    bedrock_projects    = optional(list(string), [])
    sagemaker_endpoints = optional(list(string), [])
    sagemaker_outputs   = optional(list(string), [])
    sagemaker_inputs    = optional(list(string), [])
    functions           = optional(list(string), [])
    function_urls       = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for arn in var.backends.bedrock_models : can(regex("^arn:[a-z-]+:bedrock:([a-z0-9-]*::foundation-model|[a-z0-9-]+:[0-9]{12}:(inference-profile|application-inference-profile|provisioned-model|custom-model-deployment|imported-model))/[A-Za-z0-9._:/-]+$", arn))])
    error_message = "Each of backends.bedrock_models must be the ARN of one model or inference profile (arn:aws:bedrock:REGION::foundation-model/ID, arn:aws:bedrock:REGION:ACCOUNT:inference-profile/ID): the role may ask nothing else."
  }

  validation {
    condition     = alltrue([for arn in var.backends.bedrock_guardrails : can(regex("^arn:[a-z-]+:bedrock:[a-z0-9-]+:[0-9]{12}:(guardrail|guardrail-profile)/[A-Za-z0-9.:-]+$", arn))])
    error_message = "Each of backends.bedrock_guardrails must be the ARN of one guardrail (arn:aws:bedrock:REGION:ACCOUNT:guardrail/ID)."
  }

  validation {
    condition     = alltrue([for arn in var.backends.bedrock_projects : can(regex("^arn:[a-z-]+:bedrock-mantle:[a-z0-9-]+:[0-9]{12}:project/[A-Za-z0-9_-]+$", arn))])
    error_message = "Each of backends.bedrock_projects must be the ARN of one project (arn:aws:bedrock-mantle:REGION:ACCOUNT:project/ID)."
  }

  validation {
    condition     = alltrue([for arn in var.backends.sagemaker_endpoints : can(regex("^arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:(endpoint|inference-component)/[A-Za-z0-9-]+$", arn))])
    error_message = "Each of backends.sagemaker_endpoints must be the ARN of one endpoint or inference component (arn:aws:sagemaker:REGION:ACCOUNT:endpoint/NAME)."
  }

  validation {
    condition     = alltrue([for arn in concat(var.backends.sagemaker_outputs, var.backends.sagemaker_inputs) : can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]{3,63}/([^*?$\\s]+/)?$", arn))])
    error_message = "Each of backends.sagemaker_outputs and backends.sagemaker_inputs must be the ARN of a bucket with a prefix that ends in a slash (arn:aws:s3:::BUCKET/PREFIX/): the role may do something with the objects below it."
  }

  validation {
    condition     = alltrue([for arn in concat(var.backends.functions, var.backends.function_urls) : can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]{1,64}:[a-zA-Z_-][a-zA-Z0-9_-]*$", arn))])
    error_message = "Each of backends.functions and backends.function_urls must be the ARN of one alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS): the role may invoke nothing else."
  }
}

variable "secrets" {
  description = "ARNs of the secrets in Secrets Manager and the parameters in SSM that have keys of backends; they are read when a request needs one, and are never in Terraform's state."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secrets : can(regex("^arn:[a-z-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^*?$\\s]+|ssm:[a-z0-9-]+:[0-9]{12}:parameter/[^*?$\\s]+)$", arn))])
    error_message = "Each of secrets must be the ARN of one secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX) or parameter (arn:aws:ssm:REGION:ACCOUNT:parameter/NAME): the role may read nothing else."
  }
}

variable "secret_kms_key_arns" {
  description = "ARNs of the KMS keys of `secrets` that have keys of your own."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", arn))])
    error_message = "Each of secret_kms_key_arns must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "budgets" {
  description = "The table of what tenants have spent: `deletion_protection` of the one that is made here, or an existing `table`, which several routers may share, as the resource `aws_dynamodb_table` or its ARN and that of its KMS key."
  type = object({
    deletion_protection = optional(bool, true)
    table = optional(object({
      arn         = string
      kms_key_arn = optional(string)
    }))
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.budgets.table == null || can(regex("^arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]{3,255}$", var.budgets.table.arn))
    error_message = "budgets.table.arn must be the ARN of one table (arn:aws:dynamodb:REGION:ACCOUNT:table/NAME)."
  }

  validation {
    condition     = try(var.budgets.table.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.budgets.table.kms_key_arn))
    error_message = "budgets.table.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "background" {
  description = "Requests with `background: true`, which are answered beside the connection: days after which an answer is deleted (clients read it for 24 hours), seconds for an answer, and how many are answered at a time. Default: none are taken."
  type = object({
    result_days = optional(number, 1)
    timeout     = optional(number, 900)
    concurrency = optional(number, 5)
  })
  default = null

  validation {
    condition     = var.background == null || try(var.background.result_days >= 1 && floor(var.background.result_days) == var.background.result_days, false)
    error_message = "background.result_days must be a whole number of days, 1 or more: answers don't stay forever."
  }

  validation {
    condition     = var.background == null || try(var.background.timeout >= 60 && var.background.timeout <= 900 && floor(var.background.timeout) == var.background.timeout, false)
    error_message = "background.timeout must be a whole number of seconds from 60 to 900, Lambda's maximum."
  }

  validation {
    condition     = var.background == null || try(var.background.concurrency >= 2 && var.background.concurrency <= 1000 && floor(var.background.concurrency) == var.background.concurrency, false)
    error_message = "background.concurrency must be a whole number from 2 to 1,000, which is all that an event source mapping accepts."
  }
}

variable "batches" {
  description = "Files and batches, as the module batch (`batches = module.batch`) or its outputs: `store`, s3://BUCKET/PREFIX/, and `state_machine_arn`; `kms_key_arn` is that of the bucket's key, if it has one of yours. Default: there are none."
  type = object({
    store             = string
    state_machine_arn = string
    kms_key_arn       = optional(string)
  })
  default = null

  validation {
    condition     = var.batches == null || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/([^/*?$]+/)*$", var.batches.store))
    error_message = "batches.store must be s3://BUCKET/ or s3://BUCKET/PREFIX/, ending in a slash and without *, ? and $, which are wildcards and variables in the role's policy."
  }

  validation {
    condition     = var.batches == null || can(regex("^arn:[a-z-]+:states:[a-z0-9-]+:[0-9]{12}:stateMachine:[^:*?$]+$", var.batches.state_machine_arn))
    error_message = "batches.state_machine_arn must be the ARN of one state machine (arn:aws:states:REGION:ACCOUNT:stateMachine:NAME): the role may start nothing else."
  }

  validation {
    condition     = try(var.batches.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.batches.kms_key_arn))
    error_message = "batches.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "timeout" {
  description = "Time limit of a request in seconds, backends and fallbacks included."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 900 && floor(var.timeout) == var.timeout
    error_message = "timeout must be a whole number of seconds from 1 to 900, Lambda's maximum."
  }
}

variable "reserved_concurrency" {
  description = "Maximum number of concurrent environments; 0 blocks all requests. Default: the account's limit."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= 0 && floor(var.reserved_concurrency) == var.reserved_concurrency, false)
    error_message = "reserved_concurrency must be a whole number, 0 or more; leave it out for the account's limit."
  }
}

variable "vpc" {
  description = "Subnets and security groups, for backends in a VPC such as those of `gpu-endpoint` with `ecs`. They need to reach DynamoDB, S3 and the other backends, by endpoints or a NAT gateway. Default: Lambda's own network."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
    ipv6               = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.vpc == null || try(length(var.vpc.subnet_ids) > 0 && length(var.vpc.subnet_ids) <= 16 && length(var.vpc.security_group_ids) > 0 && length(var.vpc.security_group_ids) <= 5, false)
    error_message = "vpc needs 1 to 16 of subnet_ids and 1 to 5 of security_group_ids, which is what Lambda accepts; leave vpc out for Lambda's own network."
  }

  validation {
    condition     = var.vpc == null || try(alltrue([for id in var.vpc.subnet_ids : startswith(id, "subnet-")]) && alltrue([for id in var.vpc.security_group_ids : startswith(id, "sg-")]), false)
    error_message = "vpc.subnet_ids must be ids of subnets (subnet-…) and vpc.security_group_ids ids of security groups (sg-…)."
  }
}

variable "web_adapter_layer_arn" {
  description = "ARN of a layer version with the Lambda Web Adapter for arm64, 1.1.0 or later. Default: the layer that is published in AWS's commercial regions; in GovCloud and China there is none for arm64."
  type        = string
  default     = null

  validation {
    condition     = var.web_adapter_layer_arn == null || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$", var.web_adapter_layer_arn)) && !can(regex("(?i)(x86|amd64)", var.web_adapter_layer_arn))
    error_message = "web_adapter_layer_arn must be the ARN of one version of a layer (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION) for arm64."
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
    condition     = length([for name in keys(var.environment) : name if startswith(name, "LAMBDA_LLM_ROUTER_") || startswith(name, "AWS_LWA_") || startswith(name, "AWS_LAMBDA_") || contains(["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], name)]) == 0
    error_message = "environment has a variable that this module sets by configuration, budgets, identity, background or batches, or one of Lambda's or the web adapter's: remove it, and use those inputs."
  }
}

variable "tracing" {
  description = "`PassThrough`: requests are traced in X-Ray if their caller traces them; `Active`: Lambda samples and traces requests itself."
  type        = string
  default     = "PassThrough"
  nullable    = false

  validation {
    condition     = contains(["PassThrough", "Active"], var.tracing)
    error_message = "tracing must be PassThrough or Active."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key for what is made here: the bucket, the table, the queues and the functions' environment. Its policy must allow what the role does. Default: keys of AWS's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes the bucket with what is in it: earlier configurations and answers."
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
  description = "Retention of the logs in days. Prompts and responses are never logged."
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
