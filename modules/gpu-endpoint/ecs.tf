# Instances with GPUs of one's own, which ECS starts and ends, behind an internal load balancer. A first container of the
# task reads one version of the model and compares its SHA-256; the server gets it read-only, and no credentials of its own
# beyond those of the task.

locals {
  ecs        = var.kind == "ecs" ? 1 : 0
  ecs_sleeps = var.kind == "ecs" && var.copies.min == 0 ? 1 : 0

  # An instance, its image, the model.
  ecs_start_seconds = 1800

  # https://aws.github.io/deep-learning-containers
  ecs_port    = var.server == "vllm" ? 8000 : 8080
  ecs_model   = "/model/${local.model_file}"
  ecs_command = var.server == "vllm" ? ["--model", local.ecs_model, "--served-model-name", var.name, "--host", "0.0.0.0", "--port", tostring(local.ecs_port)] : ["--model", local.ecs_model, "--alias", var.name]

  ecs_fetch = local.folder ? "exec aws s3 cp --recursive --only-show-errors \"s3://$BUCKET/$KEY\" /model/" : join(" && ", [
    "aws s3api get-object --bucket \"$BUCKET\" --key \"$KEY\" --version-id \"$VERSION\" \"/model/$FILE\" > /dev/null",
    "echo \"$SHA256  /model/$FILE\" | sha256sum -c -",
  ])

  # The one place but /model where the container that loads the model can write: programs expect a home and a /tmp. It is in
  # memory, and gone with the container.
  ecs_scratch = "/tmp"

  ecs_fetched = merge(
    { BUCKET = var.model.bucket, KEY = var.model.key, HOME = local.ecs_scratch },
    local.folder ? {} : { FILE = local.model_file, VERSION = var.model.version_id, SHA256 = lower(coalesce(var.model.sha256, "-")) },
  )

  ecs_containers = var.kind != "ecs" ? "[]" : jsonencode([
    {
      name                   = "model"
      image                  = var.ecs.fetch_image
      essential              = false
      readonlyRootFilesystem = true
      memoryReservation      = 256
      entryPoint             = ["/bin/sh", "-ec"]
      command                = [local.ecs_fetch]
      environment            = [for key, value in local.ecs_fetched : { name = key, value = value }]
      mountPoints            = [{ sourceVolume = "model", containerPath = "/model", readOnly = false }]
      linuxParameters        = { tmpfs = [{ containerPath = local.ecs_scratch, size = 64 }] }
      logConfiguration       = local.ecs_logs
    },
    {
      name                 = "server"
      image                = var.image
      essential            = true
      memory               = var.ecs.memory_mb
      command              = concat(local.ecs_command, var.ecs.arguments)
      environment          = [for key, value in var.environment : { name = key, value = value }]
      portMappings         = [{ containerPort = local.ecs_port, protocol = "tcp" }]
      resourceRequirements = [{ type = "GPU", value = tostring(var.ecs.gpus) }]
      mountPoints          = [{ sourceVolume = "model", containerPath = "/model", readOnly = true }]
      dependsOn            = [{ containerName = "model", condition = "SUCCESS" }]
      stopTimeout          = 120
      logConfiguration     = local.ecs_logs
    },
  ])

  ecs_logs = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = local.log_group
      awslogs-region        = local.region
      awslogs-stream-prefix = "ecs"
    }
  }
}

resource "aws_ecs_cluster" "this" {
  count = local.ecs

  name = var.name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

data "aws_iam_policy_document" "instance_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "instance" {
  count = local.ecs

  name_prefix          = "${var.name}-"
  path                 = var.path
  description          = "With this the instances of ${var.name} join their cluster"
  assume_role_policy   = data.aws_iam_policy_document.instance_assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy_attachment" "instance" {
  count = local.ecs

  role       = aws_iam_role.instance[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "this" {
  count = local.ecs

  name_prefix = "${var.name}-"
  path        = var.path
  role        = aws_iam_role.instance[0].name
  tags        = local.tags
}

# ECS's agent pulls the images and writes the logs with this; the containers do not have it.
resource "aws_iam_role" "execution" {
  count = local.ecs

  name_prefix          = "${var.name}-"
  path                 = var.path
  description          = "With this ECS starts the tasks of ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

data "aws_iam_policy_document" "execution" {
  source_policy_documents = [data.aws_iam_policy_document.images.json, data.aws_iam_policy_document.logs.json]
}

resource "aws_iam_role_policy" "execution" {
  count = local.ecs

  name   = "execution"
  role   = aws_iam_role.execution[0].id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_security_group" "load_balancer" {
  count = local.ecs

  name_prefix = "${var.name}-lb-"
  description = "Load balancer of ${var.name}: callers in, tasks out"
  vpc_id      = var.vpc.id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "task" {
  count = local.ecs

  name_prefix = "${var.name}-task-"
  description = "Tasks of ${var.name}: the load balancer in, HTTPS out"
  vpc_id      = var.vpc.id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  for_each = var.kind == "ecs" ? var.ecs.callers : {}

  description                  = "Requests of ${each.key}"
  security_group_id            = aws_security_group.load_balancer[0].id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  count = local.ecs

  description                  = "Requests to the tasks"
  security_group_id            = aws_security_group.load_balancer[0].id
  referenced_security_group_id = aws_security_group.task[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.ecs_port
  to_port                      = local.ecs_port
  tags                         = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "task" {
  count = local.ecs

  description                  = "Requests of the load balancer"
  security_group_id            = aws_security_group.task[0].id
  referenced_security_group_id = aws_security_group.load_balancer[0].id
  ip_protocol                  = "tcp"
  from_port                    = local.ecs_port
  to_port                      = local.ecs_port
  tags                         = local.tags
}

# S3, ECR, ECS and CloudWatch Logs have no fixed addresses.
resource "aws_vpc_security_group_egress_rule" "task" {
  count = local.ecs

  description       = "AWS's APIs"
  security_group_id = aws_security_group.task[0].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_launch_template" "this" {
  count = local.ecs

  name_prefix            = "${var.name}-"
  description            = "Instances with GPUs of ${var.name}"
  image_id               = "resolve:ssm:${var.ecs.ami_parameter}"
  instance_type          = var.ecs.instance_type
  update_default_version = true
  vpc_security_group_ids = [aws_security_group.task[0].id]
  tags                   = local.tags

  user_data = base64encode(join("\n", [
    "#!/bin/sh",
    "cat >> /etc/ecs/ecs.config <<'END'",
    "ECS_CLUSTER=${var.name}",
    "ECS_ENABLE_GPU_SUPPORT=true",
    "ECS_AWSVPC_BLOCK_IMDS=true",
    "END",
    "",
  ]))

  iam_instance_profile {
    arn = aws_iam_instance_profile.this[0].arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted   = "true"
      kms_key_id  = var.kms_key_arn
      volume_size = var.ecs.disk_gb
      volume_type = "gp3"
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = var.name })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = local.tags
  }
}

# ECS changes its size.
resource "aws_autoscaling_group" "this" {
  count = local.ecs

  name_prefix           = "${var.name}-"
  min_size              = 0
  max_size              = var.copies.max
  vpc_zone_identifier   = var.vpc.subnet_ids
  protect_from_scale_in = true

  launch_template {
    id      = aws_launch_template.this[0].id
    version = aws_launch_template.this[0].latest_version
  }

  tag {
    key                 = "AmazonECSManaged"
    value               = "true"
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

resource "aws_ecs_capacity_provider" "this" {
  count = local.ecs

  name = var.name
  tags = local.tags

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.this[0].arn
    managed_termination_protection = "ENABLED"

    managed_scaling {
      status          = "ENABLED"
      target_capacity = 100
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  count = local.ecs

  cluster_name       = aws_ecs_cluster.this[0].name
  capacity_providers = [aws_ecs_capacity_provider.this[0].name]
}

resource "aws_ecs_task_definition" "this" {
  #checkov:skip=CKV_AWS_336:vLLM writes compiled kernels below its home; the container that loads the model is read-only.
  count = local.ecs

  family                   = var.name
  requires_compatibilities = ["EC2"]
  network_mode             = "awsvpc"
  task_role_arn            = aws_iam_role.this.arn
  execution_role_arn       = aws_iam_role.execution[0].arn
  container_definitions    = local.ecs_containers
  tags                     = local.tags

  volume {
    name = "model"
  }
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:Access logs need a bucket; the router logs every request.
  #checkov:skip=CKV_AWS_150:A load balancer has no state that a deletion could lose.
  #checkov:skip=CKV2_AWS_28:It is internal, and only named security groups reach it.
  count = local.ecs

  name                       = var.name
  internal                   = true
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.load_balancer[0].id]
  subnets                    = var.vpc.subnet_ids
  drop_invalid_header_fields = true
  tags                       = local.tags

  # Silence before the first token, behind a queue; the longest that a load balancer allows is 4,000.
  idle_timeout = 900
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:TLS ends at the load balancer; neither server has a certificate, and the task accepts it alone.
  count = local.ecs

  name                 = var.name
  vpc_id               = var.vpc.id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = local.ecs_port
  deregistration_delay = "120"
  tags                 = local.tags

  load_balancing_algorithm_type = "least_outstanding_requests"

  # Both servers answer 200 here once the model is loaded.
  health_check {
    path                = "/health"
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 4
  }
}

resource "aws_lb_listener" "this" {
  count = local.ecs

  load_balancer_arn = aws_lb.this[0].arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.ecs.certificate_arn
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[0].arn
  }
}

# The first task is started at once. Afterwards auto scaling says how many there are.
resource "aws_ecs_service" "this" {
  count = local.ecs

  name            = var.name
  cluster         = aws_ecs_cluster.this[0].id
  task_definition = aws_ecs_task_definition.this[0].arn
  desired_count   = max(1, var.copies.min)
  tags            = local.tags

  # With one instance a new task has room only where the old one was.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  health_check_grace_period_seconds  = local.ecs_start_seconds

  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this[0].name
    weight            = 1
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.vpc.subnet_ids
    security_groups  = [aws_security_group.task[0].id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this[0].arn
    container_name   = "server"
    container_port   = local.ecs_port
  }

  depends_on = [aws_lb_listener.this, aws_ecs_cluster_capacity_providers.this, aws_iam_role_policy.execution, aws_iam_role_policy.model]

  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "ecs" {
  count = local.ecs

  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.this[0].name}/${aws_ecs_service.this[0].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.copies.min
  max_capacity       = var.copies.max
  tags               = local.tags
}

# Between the first copy and the last. The load balancer counts requests by the minute; so many of them come while one copy
# has `copies.requests` at a time, as a request stays for `answer_seconds` (Little's law). Without requests there is no value,
# and the policy does nothing.
resource "aws_appautoscaling_policy" "ecs" {
  count = local.ecs

  name               = "${var.name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.ecs[0].service_namespace
  resource_id        = aws_appautoscaling_target.ecs[0].resource_id
  scalable_dimension = aws_appautoscaling_target.ecs[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.copies.requests * 60 / var.ecs.answer_seconds
    scale_in_cooldown  = 300
    scale_out_cooldown = 300

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.this[0].arn_suffix}/${aws_lb_target_group.this[0].arn_suffix}"
    }
  }

  # The label is of a target group that a load balancer has.
  depends_on = [aws_lb_listener.this]
}

# From zero to one: without a copy the load balancer answers 503 by itself.
resource "aws_appautoscaling_policy" "ecs_wakes" {
  count = local.ecs_sleeps

  name               = "${var.name}-wakes"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.ecs[0].service_namespace
  resource_id        = aws_appautoscaling_target.ecs[0].resource_id
  scalable_dimension = aws_appautoscaling_target.ecs[0].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"

    # While the copy that was started loads, each minute's 503 asks for the same one.
    cooldown = local.ecs_start_seconds

    step_adjustment {
      metric_interval_lower_bound = "0"
      scaling_adjustment          = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "ecs_wakes" {
  count = local.ecs_sleeps

  alarm_name          = "${var.name}-wakes"
  alarm_description   = "A request came while ${var.name} had no copy: this starts one"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_ELB_503_Count"
  statistic           = "Sum"
  dimensions          = { LoadBalancer = aws_lb.this[0].arn_suffix }
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.ecs_wakes[0].arn]
  tags                = local.tags
}

# From any number to zero.
resource "aws_appautoscaling_policy" "ecs_sleeps" {
  count = local.ecs_sleeps

  name               = "${var.name}-sleeps"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.ecs[0].service_namespace
  resource_id        = aws_appautoscaling_target.ecs[0].resource_id
  scalable_dimension = aws_appautoscaling_target.ecs[0].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_lower_bound = "0"
      scaling_adjustment          = 0
    }
  }
}

# Idle is a minute in which a copy could have answered and nobody asked. While the first one loads, and while there is none,
# no minute is idle: else the service would end what has just been started, as an alarm acts for as long as it lasts.
resource "aws_cloudwatch_metric_alarm" "ecs_sleeps" {
  count = local.ecs_sleeps

  alarm_name          = "${var.name}-sleeps"
  alarm_description   = "Nobody asked ${var.name} for ${var.ecs.idle_minutes} minutes: this ends its copies"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = var.ecs.idle_minutes
  datapoints_to_alarm = var.ecs.idle_minutes
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.ecs_sleeps[0].arn]
  tags                = local.tags

  metric_query {
    id          = "idle"
    expression  = "IF(FILL(healthy, 0) > 0 AND FILL(requests, 0) < 1, 1, 0)"
    label       = "A copy could have answered, and nobody asked"
    return_data = true
  }

  metric_query {
    id = "healthy"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HealthyHostCount"
      stat        = "Maximum"
      period      = 60
      dimensions  = { LoadBalancer = aws_lb.this[0].arn_suffix, TargetGroup = aws_lb_target_group.this[0].arn_suffix }
    }
  }

  metric_query {
    id = "requests"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      stat        = "Sum"
      period      = 60
      dimensions  = { LoadBalancer = aws_lb.this[0].arn_suffix, TargetGroup = aws_lb_target_group.this[0].arn_suffix }
    }
  }
}
