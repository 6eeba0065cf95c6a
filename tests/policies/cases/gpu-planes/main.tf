# GPU planes in the other forms: a misspelled tag, balancers by reference, templates, disks.

variable "gpu" {
  type    = string
  default = "ml.g6.xlarge"
}

locals {
  tags = { "lambda-llm" = "gpu-endpoint", "lambda-llm:plane" = "inference", "lambda-llm:component" = "gpu-endpoint" }
}

resource "aws_lb" "mistyped" {
  name     = "mistyped"
  internal = false
  subnets  = ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]
  tags     = merge(local.tags, { "lambda-llm" = "gpu-endpiont", "lambda-llm:plane" = "inference", "lambda-llm:component" = "gpu-endpiont" })
}

resource "aws_lb" "others" {
  name     = "others"
  internal = false
  subnets  = ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]
}

resource "aws_lb" "good" {
  name     = "good"
  internal = "true"
  subnets  = ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]
  tags     = local.tags
}

resource "aws_lb_listener" "redirects" {
  load_balancer_arn = aws_lb.good.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "tcp" {
  load_balancer_arn = aws_lb.good.arn
  port              = 8000
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/gpu/1234abcd1234abcd"
  }
}

resource "aws_lb_listener" "of_others" {
  load_balancer_arn = aws_lb.others.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1234abcd1234abcd"
  }
}

resource "aws_vpc_security_group_ingress_rule" "group" {
  security_group_id            = "sg-0a1b2c3d"
  referenced_security_group_id = "sg-1a2b3c4d"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "everybody" {
  security_group_id = "sg-0a1b2c3d"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "everybody_of_6" {
  security_group_id = "sg-0a1b2c3d"
  cidr_ipv6         = "::/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_ecs_service" "addressed" {
  name = "addressed"
  tags = local.tags

  network_configuration {
    subnets          = ["subnet-0a1b2c3d"]
    assign_public_ip = true
  }
}

resource "aws_ecs_service" "inside" {
  name = "inside"
  tags = local.tags

  network_configuration {
    subnets = ["subnet-0a1b2c3d"]
  }
}

resource "aws_launch_template" "clear_disk" {
  name = "clear-disk"
  tags = local.tags

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size = 100
    }
  }
}

resource "aws_launch_template" "addressed_instance" {
  name = "addressed-instance"
  tags = local.tags

  network_interfaces {
    associate_public_ip_address = "true"
  }
}

resource "aws_launch_template" "encrypted_disk" {
  name = "encrypted-disk"
  tags = local.tags

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted   = "true"
      volume_size = 100
    }
  }
}

resource "aws_sagemaker_endpoint_configuration" "own_disk" {
  name = "own-disk"
  tags = local.tags

  production_variants {
    model_name             = "big"
    instance_type          = var.gpu
    initial_instance_count = 1
  }
}

resource "aws_sagemaker_endpoint_configuration" "with_key" {
  name        = "with-key"
  kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  tags        = local.tags

  production_variants {
    model_name             = "big"
    instance_type          = "ml.p3.2xlarge"
    initial_instance_count = 1
  }
}

resource "aws_sagemaker_endpoint_configuration" "without_key" {
  name = "without-key"
  tags = local.tags

  production_variants {
    model_name             = "big"
    instance_type          = "ml.p3.2xlarge"
    initial_instance_count = 1
  }
}

resource "aws_sagemaker_endpoint_configuration" "captures" {
  name = "captures"
  tags = local.tags

  production_variants {
    model_name             = "big"
    instance_type          = "ml.p4d.24xlarge"
    initial_instance_count = 1
  }

  data_capture_config {
    destination_s3_uri          = "s3://my-captures/"
    initial_sampling_percentage = 100

    capture_options {
      capture_mode = "Input"
    }
  }
}

resource "aws_cloudformation_stack" "open_stack" {
  name = "open"
  tags = local.tags

  template_body = jsonencode({
    Resources = {
      Model = { Type = "AWS::SageMaker::Model", Properties = { EnableNetworkIsolation = true } }
      Url   = { Type = "AWS::Lambda::Url", Properties = { AuthType = "NONE", TargetFunctionArn = "big" } }
    }
  })
}

resource "aws_cloudformation_stack" "connected_stack" {
  name          = "connected"
  tags          = local.tags
  template_body = jsonencode({ Resources = { Model = { Type = "AWS::SageMaker::Model" } } })
}

resource "aws_cloudformation_stack" "public_stack" {
  name          = "public"
  tags          = local.tags
  template_body = <<-END
    {"Resources": {"Balancer": {
      "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Scheme": "internet-facing"}
    }}}
  END
}

resource "aws_cloudformation_stack" "closed_stack" {
  name = "closed"
  tags = local.tags
  template_body = jsonencode({
    Resources = {
      Model  = { Type = "AWS::SageMaker::Model", Properties = { EnableNetworkIsolation = true } }
      Config = { Type = "AWS::SageMaker::EndpointConfig", Properties = { ProductionVariants = [{ InstanceType = "ml.g6.xlarge" }] } }
    }
  })
}

resource "aws_cloudformation_stack" "stack_of_a_variable" {
  name = "of-a-variable"
  tags = local.tags

  template_body = jsonencode({
    Resources = {
      Config = { Type = "AWS::SageMaker::EndpointConfig", Properties = { ProductionVariants = [{ InstanceType = var.gpu }] } }
    }
  })
}
