variable "name" {
  description = "Name of the function; its log group, role and alarms are named after it."
  type        = string
  nullable    = false
}

variable "description" {
  description = "Description of the function. Default: which agent it is."
  type        = string
  default     = null
}

variable "agent" {
  description = "Where the agent is, as MODULE:NAME. Default: `agent` in the file that the package was built with."
  type        = string
  default     = null

  validation {
    condition     = var.agent == null || can(regex("^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$", var.agent))
    error_message = "agent must be MODULE:NAME, as in research:agent for the Agent named agent in research.py."
  }
}

variable "package" {
  description = "Zip of the agent, as `lambda-llm package --agent FILE.py` builds it: `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`); `code_sha256` is the SHA-256 in base64 of a zip in S3 that was signed since."
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

variable "inference" {
  description = "The model: the module inference as a whole (`inference = module.inference`), or its output `alias_arn`. Of the same account and region, as Lambda's durable invocations are."
  type = object({
    alias_arn = string
  })
  nullable = false

  validation {
    condition     = can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]{1,64}:[a-zA-Z0-9_-]+$", var.inference.alias_arn))
    error_message = "inference.alias_arn must be the ARN of one alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS): the role may invoke nothing else."
  }
}

variable "state" {
  description = "Where documents and large results are kept: the output `state` of the module model-store, whose `state_days` must be more than `execution_timeout`."
  type = object({
    bucket      = string
    prefix      = string
    kms_key_arn = optional(string)
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state.bucket))
    error_message = "state.bucket must be the name of an S3 bucket, without s3:// and without a path."
  }

  validation {
    condition     = can(regex("^[^/*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}][^*?$\\x00-\\x1f\\x7f\\x{100}-\\x{10ffff}]*/$", var.state.prefix))
    error_message = "state.prefix must not begin with a slash, must end with one, and must have no *, ?, $ or character beyond ÿ, as in \"state/\": the role may read and write everything below it."
  }

  validation {
    condition     = try(var.state.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.state.kms_key_arn))
    error_message = "state.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "execution_timeout" {
  description = "Seconds that an execution may take, waiting included. Default: 14 days."
  type        = number
  default     = 1209600
  nullable    = false

  validation {
    condition     = var.execution_timeout >= 1 && var.execution_timeout <= 31622400 && floor(var.execution_timeout) == var.execution_timeout
    error_message = "execution_timeout must be a whole number of seconds from 1 to 31,622,400 (366 days), which is all that Lambda accepts."
  }
}

variable "retention_period" {
  description = "Days for which Lambda keeps the history of an execution that has ended: prompts and answers are in it."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.retention_period >= 1 && var.retention_period <= 90 && floor(var.retention_period) == var.retention_period
    error_message = "retention_period must be a whole number of days from 1 to 90, which is all that Lambda accepts."
  }
}

variable "timeout" {
  description = "Seconds that one invocation may take: the calls of tools between two waits. Waiting and the model's thinking are not in it."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.timeout >= 60 && var.timeout <= 900 && floor(var.timeout) == var.timeout
    error_message = "timeout must be a whole number of seconds from 60 to 900: a tool's call alone may take a minute, and Lambda allows no more than 900."
  }
}

variable "memory_size" {
  description = "Memory in MB. With the default, 1,769, a function has one whole vCPU; the import of the MCP client takes a second of one."
  type        = number
  default     = 1769
  nullable    = false

  validation {
    condition     = var.memory_size >= 512 && var.memory_size <= 10240 && floor(var.memory_size) == var.memory_size
    error_message = "memory_size must be a whole number of MB from 512, which documents and results of tools need, to 10,240, which is all that Lambda accepts."
  }
}

variable "reserved_concurrency" {
  description = "Maximum number of executions that run at a time; waiting ones do not count. Default: none is reserved."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency, false)
    error_message = "reserved_concurrency must be a whole number, 1 or more, or null for no reservation: with 0 no execution would ever run."
  }
}

variable "gateways" {
  description = "ARNs of the AgentCore gateways whose tools the agent may call."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.gateways : can(regex("^arn:[a-z-]+:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:gateway/[a-zA-Z0-9-]+$", arn))])
    error_message = "Each of gateways must be the ARN of one gateway (arn:aws:bedrock-agentcore:REGION:ACCOUNT:gateway/ID): the role may invoke nothing else."
  }
}

variable "code_interpreters" {
  description = "ARNs of the AgentCore code interpreters in which the agent may run code; of AWS's own it is arn:aws:bedrock-agentcore:REGION:aws:code-interpreter/aws.codeinterpreter.v1."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.code_interpreters : can(regex("^arn:[a-z-]+:bedrock-agentcore:[a-z0-9-]+:([0-9]{12}|aws):code-interpreter(-custom)?/[a-zA-Z0-9_.-]+$", arn))])
    error_message = "Each of code_interpreters must be the ARN of one code interpreter (arn:aws:bedrock-agentcore:REGION:ACCOUNT:code-interpreter-custom/ID, or AWS's own): the role may use nothing else."
  }
}

variable "secrets" {
  description = "ARNs of the secrets in Secrets Manager that the agent's tools may read, such as tokens of MCP servers. A secret with a key of your own also needs kms:Decrypt: attach it to the role."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secrets : can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^*?\\s]+$", arn))])
    error_message = "Each of secrets must be the ARN of one secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX): the role may read nothing else."
  }
}

variable "layers" {
  description = "ARNs of layer versions with what the agent imports and its zip lacks, such as a vendor's SDK."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.layers) <= 5 && alltrue([for arn in var.layers : can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$", arn))])
    error_message = "layers must be at most 5 ARNs of layer versions (arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION), which is all that Lambda accepts."
  }
}

variable "environment" {
  description = "Further environment variables, for the agent's tools. No secrets: name one by its ARN, and have the tool read it."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Za-z][A-Za-z0-9_]+$", name)) && value != null])
    error_message = "Each of environment must have a name of two or more letters, digits or underscores that begins with a letter, and a value."
  }

  validation {
    condition     = length([for name in keys(var.environment) : name if contains(["LAMBDA_LLM_AGENT", "LAMBDA_LLM_AGENT_INFERENCE", "LAMBDA_LLM_STATE"], name) || startswith(name, "AWS_")]) == 0
    error_message = "environment has a variable that this module sets by agent, inference or state, or one of AWS's: remove it, and use those inputs."
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

variable "log_kms_key_arn" {
  description = "ARN of the KMS key for the log group; its key policy must allow CloudWatch Logs to use it. Default: CloudWatch's own encryption."
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
