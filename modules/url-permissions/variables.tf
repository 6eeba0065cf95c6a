variable "function" {
  description = "Function with a Function URL on its alias: the module inference, or its outputs `function_name` and `alias_name`."
  type = object({
    function_name = string
    alias_name    = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.function.function_name)) && can(regex("^[a-zA-Z_-][a-zA-Z0-9_-]*$", var.function.alias_name))
    error_message = "function must have the name of a function and of its alias: a permission on the function itself would not hold for a URL on the alias."
  }
}

variable "allowed_principals" {
  description = "Who may call, in addition to what IAM policies in this account allow, by a name of your choice: an account id, the ARN of an IAM role or user (of this stack, too), or the id of an organization. All callers share one cache of prompts, so one can tell whether another sent the same beginning."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for principal in var.allowed_principals : can(regex("^([0-9]{12}|o-[a-z0-9]{10,32}|arn:[a-z-]+:iam::[0-9]{12}:(root|role/[^*?\\s]+|user/[^*?\\s]+))$", principal))])
    error_message = "allowed_principals must be account ids of 12 digits, ARNs of IAM roles or users, or ids of organizations (o-…); * is refused, because a public function would let anyone run up costs."
  }

  validation {
    condition     = alltrue([for key in keys(var.allowed_principals) : can(regex("^[A-Za-z0-9_-]{1,60}$", key))])
    error_message = "Each name in allowed_principals must be 1 to 60 letters, digits, hyphens or underscores: the permission's statement is named after it."
  }
}
