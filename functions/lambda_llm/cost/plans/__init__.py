"""What a Terraform plan costs before it is applied."""
