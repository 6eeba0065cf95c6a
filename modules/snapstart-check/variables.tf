variable "function_name" {
  description = "Name of the function: the output `function_name` of the module inference."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,64}$", var.function_name))
    error_message = "function_name must be the name of a function, without version or alias: that is the input qualifier."
  }
}

variable "qualifier" {
  description = "Published version to ask, or the alias: the output `version` of the module inference."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([1-9][0-9]*|[a-zA-Z_-][a-zA-Z0-9_-]*)$", var.qualifier))
    error_message = "qualifier must be the number of a published version or the name of an alias; $LATEST has no snapshot."
  }
}
