resource "aws_iam_role" "this" {
  name_prefix        = "llm-"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

output "role_arn" {
  value = aws_iam_role.this.arn
}

output "role_id" {
  value = aws_iam_role.this.id
}
