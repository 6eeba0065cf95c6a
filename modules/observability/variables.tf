variable "name" {
  description = "Name of the dashboard, and prefix of the names of alarms and saved queries."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores, as CloudWatch accepts them in the name of a dashboard."
  }
}

variable "inference" {
  description = "Inference functions by a name of your own: a call of the module inference, or the names of its function and its log group; `models` are the names of its models as requests have them, each of which gets an alarm of its first token, and `concurrency` how many environments it may have."
  type = map(object({
    function_name  = string
    log_group_name = optional(string)
    models         = optional(list(string), [])
    concurrency    = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.inference) : one.concurrency == null || try(one.concurrency >= 1, false)])
    error_message = "inference has a concurrency below 1: it is how many environments the function may have, its reserved concurrency."
  }
}

variable "routers" {
  description = "Routers by a name of your own: a call of the module router, or the names of its function and its log group."
  type = map(object({
    function_name  = string
    log_group_name = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "agents" {
  description = "Agents by a name of your own: a call of the module durable-agent, or the names of its function and its log group."
  type = map(object({
    function_name  = string
    log_group_name = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "batches" {
  description = "Batches by a name of your own: a call of the module batch, or the ARN of its state machine and the names of its functions and their log groups."
  type = map(object({
    state_machine_arn = string
    worker = object({
      function_name  = string
      log_group_name = optional(string)
    })
    index = optional(object({
      function_name  = string
      log_group_name = optional(string)
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.batches) : can(regex("^arn:[a-z-]+:states:[a-z0-9-]+:[0-9]{12}:stateMachine:[^:]+$", one.state_machine_arn))])
    error_message = "batches has a state_machine_arn that is none (arn:aws:states:REGION:ACCOUNT:stateMachine:NAME): take the output of the module batch."
  }
}

variable "pruners" {
  description = "Version pruners by a name of your own: a call of the module version-pruner, or the names of its function and its log group."
  type = map(object({
    function_name  = string
    log_group_name = optional(string)
  }))
  default  = {}
  nullable = false
}

variable "dashboard" {
  description = "Whether there is a dashboard, $3 a month."
  type        = bool
  default     = true
  nullable    = false
}

variable "queries" {
  description = "Whether there are saved queries, which cost nothing until somebody runs one."
  type        = bool
  default     = true
  nullable    = false
}

variable "thresholds" {
  description = "From which figures on there is an alarm. `error_percent` of requests; `agent_failures` in an hour; `first_token_seconds` as 95th percentile; `throttles` in 5 minutes; `concurrency_percent` of `concurrency`; `budget_percent` of a tenant's budget; `batch_record_errors` in an hour; `pruner_errors`; `unused_versions` after a run of the pruner."
  type = object({
    error_percent       = optional(number, 5)
    agent_failures      = optional(number, 3)
    first_token_seconds = optional(number, 10)
    throttles           = optional(number, 10)
    concurrency_percent = optional(number, 90)
    budget_percent      = optional(number, 90)
    batch_record_errors = optional(number, 100)
    pruner_errors       = optional(number, 1)
    unused_versions     = optional(number, 3)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for value in values(var.thresholds) : value > 0])
    error_message = "thresholds has a figure that is not above 0: name one that is, and an alarm that should not be in no_alarms."
  }

  validation {
    condition     = alltrue([for value in [var.thresholds.error_percent, var.thresholds.concurrency_percent, var.thresholds.budget_percent] : value <= 100])
    error_message = "thresholds has a percentage above 100, which would never be reached."
  }
}

variable "no_alarms" {
  description = "Names of `thresholds` for which there are no alarms."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.no_alarms, keys(var.thresholds))) == 0
    error_message = "no_alarms names what is no threshold: it takes names of thresholds, such as throttles."
  }
}

variable "alarm_actions" {
  description = "ARNs of what an alarm calls: SNS topics, functions, …; without any, alarms show in CloudWatch alone."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.alarm_actions : can(regex("^arn:[a-z-]+:[a-z0-9-]+:", arn))])
    error_message = "alarm_actions must be ARNs, such as one of an SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME)."
  }
}

variable "ok_actions" {
  description = "ARNs of what is called when an alarm is over."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.ok_actions : can(regex("^arn:[a-z-]+:[a-z0-9-]+:", arn))])
    error_message = "ok_actions must be ARNs, such as one of an SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME)."
  }
}

variable "tags" {
  description = "Tags for every alarm; dashboards and saved queries have none."
  type        = map(string)
  default     = {}
  nullable    = false
}
