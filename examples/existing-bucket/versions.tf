# 1.9 is the oldest that lets a validation look at more than its own variable, as most of these do.
# The AWS provider: every argument and block used here is in 5.100 and in 6.x; a test holds them against both.
terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}
