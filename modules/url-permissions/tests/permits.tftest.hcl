# Runs where AWS provider 6.29 or later is installed.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  function           = { function_name = "chat", alias_name = "live", url = "https://abc.lambda-url.eu-central-1.on.aws/" }
  allowed_principals = { partner = "123456789012", app = "arn:aws:iam::210987654321:role/app", everyone = "o-a1b2c3d4e5" }
}

run "callers_of_the_url" {
  assert {
    condition     = output.principals == { partner = "arn:aws:iam::123456789012:root", app = "arn:aws:iam::210987654321:role/app", everyone = "*" }
    error_message = "Somebody may call who was not named, or may not who was."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.invoke : permission.invoked_via_function_url && permission.qualifier == "live" && permission.action == "lambda:InvokeFunction"])
    error_message = "A caller may invoke the function past its URL."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.invoke_url : permission.function_url_auth_type == "AWS_IAM" && permission.qualifier == "live"]) && aws_lambda_permission.invoke_url["everyone"].principal_org_id == "o-a1b2c3d4e5"
    error_message = "The URL is open."
  }
}
