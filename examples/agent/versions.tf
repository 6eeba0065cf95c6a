# Terraform 1.9 is the first whose validations may refer to other variables and locals, which the modules need.
# AWS provider: durable_config, of the agent's function, exists from 6.25 on.
terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25.0, < 7.0.0"
    }
  }
}
