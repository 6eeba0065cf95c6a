# Who a caller is, IAM or an authorizer says. With `authorizer` there is no URL: a front door invokes the alias, and whoever
# else may invoke it can claim to be anyone.

resource "aws_lambda_function_url" "live" {
  count = var.identity == "iam" ? 1 : 0

  function_name      = aws_lambda_function.this.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
}

# A caller needs both permissions. Here the second one holds for calls through the URL only, so that no caller can write an
# event of its own, with a request context that only AWS may set.
# https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
data "aws_iam_policy_document" "invoke" {
  count = var.identity == "iam" ? 1 : 0

  statement {
    sid       = "AskByURL"
    actions   = ["lambda:InvokeFunctionUrl"]
    resources = [aws_lambda_alias.live.arn]

    condition {
      test     = "StringEquals"
      variable = "lambda:FunctionUrlAuthType"
      values   = ["AWS_IAM"]
    }
  }

  statement {
    sid       = "ByURLOnly"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_alias.live.arn]

    condition {
      test     = "Bool"
      variable = "lambda:InvokedViaFunctionUrl"
      values   = ["true"]
    }
  }
}
