resource "aws_iam_role" "first" {
  name_prefix        = "first-"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

output "first" {
  value = aws_iam_role.first.arn
}

output "first_name" {
  value = aws_iam_role.first.name
}

resource "aws_iam_role" "second" {
  name_prefix        = "second-"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

output "second" {
  value = aws_iam_role.second.arn
}

output "second_name" {
  value = aws_iam_role.second.name
}

resource "aws_iam_role" "other" {
  name_prefix        = "other-"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

output "other" {
  value = aws_iam_role.other.arn
}

output "other_name" {
  value = aws_iam_role.other.name
}
