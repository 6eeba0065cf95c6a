# For states from before a role and a log group could be existing ones.

moved {
  from = aws_cloudwatch_log_group.this
  to   = aws_cloudwatch_log_group.this[0]
}

moved {
  from = aws_iam_role.this
  to   = aws_iam_role.this[0]
}

moved {
  from = aws_iam_role_policy.logs
  to   = aws_iam_role_policy.logs[0]
}
