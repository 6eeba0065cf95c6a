# The function in private subnets without a way to the internet: S3 alone is reachable, by a gateway endpoint, which is
# free. Requests still come through the Function URL, which is not in the VPC.

locals {
  model = jsondecode(file(var.pushed_model))
}

# The region, which `aws_region` names by attributes that are deprecated in 6.x or missing in 5.100.
data "aws_service" "s3" {
  service_id = "s3"
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:Only this function is in it; flow logs are for VPCs that people share.
  cidr_block           = "10.0.0.0/24"
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# Closes the security group that AWS makes with every VPC.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "private" {
  count = length(var.zones)

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 2, count.index)
  availability_zone = "${data.aws_service.s3.region}${var.zones[count.index]}"
  tags              = { Name = "${var.name}-${count.index}" }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_route_table_association" "private" {
  count = length(var.zones)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

data "aws_partition" "current" {}

# Only the model can be read through it.
data "aws_iam_policy_document" "endpoint" {
  #checkov:skip=CKV_AWS_283:What can be reached is limited here; who may reach it, by the policy of each role.
  statement {
    sid       = "ReadModel"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${local.model.bucket}/${local.model.key}"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${data.aws_service.s3.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  policy            = data.aws_iam_policy_document.endpoint.json
  tags              = { Name = var.name }
}

resource "aws_security_group" "function" {
  name_prefix = "${var.name}-"
  description = "The function ${var.name}: HTTPS to S3, nothing in"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = var.name }

  egress {
    description     = "S3"
    protocol        = "tcp"
    from_port       = 443
    to_port         = 443
    prefix_list_ids = [aws_vpc_endpoint.s3.prefix_list_id]
  }
}

module "inference" {
  source = "../../modules/inference"

  name    = var.name
  model   = local.model
  package = var.package

  vpc = {
    # By the associations, because init reads the model: their way to S3 comes first.
    subnet_ids         = aws_route_table_association.private[*].subnet_id
    security_group_ids = [aws_security_group.function.id]
  }
}

# Each published version is billed while it exists: those that no alias uses are deleted once a day.
module "version_pruner" {
  source = "../../modules/version-pruner"

  function_arn = module.inference.function_arn
  package      = var.pruner_package
}
