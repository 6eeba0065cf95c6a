# Terraform 1.9 is the first whose validations may refer to other variables and locals, which the modules need.
# AWS provider: every argument and block used here exists in 5.100 and in 6.x; a test verifies them against both. In 6.2.0 and
# 6.3.0, updates of published functions failed (hashicorp/terraform-provider-aws#43271).
terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, != 6.2.0, != 6.3.0, < 7.0.0"
    }
  }
}
