# Instances of one's own: what a stack gets.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_service" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/gpu-1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/gpu" }
  }
  mock_resource "aws_autoscaling_group" {
    defaults = { arn = "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:1:autoScalingGroupName/big" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/big" }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/big/1", arn_suffix = "app/big/1", dns_name = "internal-big-1.eu-central-1.elb.amazonaws.com", zone_id = "Z215JYRZR1TBD5" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/big/1", arn_suffix = "targetgroup/big/1" }
  }
  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/big/1/2" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/big:1" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:eu-central-1:123456789012:scalingPolicy:1" }
  }
}

variables {
  kind  = "ecs"
  name  = "big"
  image = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/vllm:server-cuda-v1"
  model = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  ecs   = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" } }
  vpc   = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
}

run "a_service" {
  assert {
    condition     = aws_lb.this[0].internal && aws_lb_listener.this[0].protocol == "HTTPS" && aws_lb_listener.this[0].certificate_arn == "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd" && aws_lb.this[0].idle_timeout == 900 && aws_lb_target_group.this[0].health_check[0].path == "/health"
    error_message = "The load balancer is public, without TLS, or ends silent answers."
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.callers : rule.referenced_security_group_id] == ["sg-0a1b2c3d"] && aws_vpc_security_group_ingress_rule.task[0].from_port == 8000 && aws_vpc_security_group_ingress_rule.task[0].cidr_ipv4 == null
    error_message = "Somebody else may connect."
  }

  assert {
    condition     = aws_launch_template.this[0].image_id == "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id" && aws_launch_template.this[0].metadata_options[0].http_tokens == "required" && tobool(aws_launch_template.this[0].block_device_mappings[0].ebs[0].encrypted)
    error_message = "The instances are not what was asked for."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[1].resourceRequirements == [{ type = "GPU", value = "1" }] && jsondecode(aws_ecs_task_definition.this[0].container_definitions)[1].dependsOn == [{ containerName = "model", condition = "SUCCESS" }]
    error_message = "The server has no GPU, or starts before its model is there."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[1].command == ["--model", "/model/llama.gguf", "--served-model-name", "big", "--host", "0.0.0.0", "--port", "8000"]
    error_message = "vLLM is not told which model it serves."
  }

  assert {
    condition = { for one in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].environment : one.name => one.value } == {
      BUCKET  = "my-models"
      FILE    = "llama.gguf"
      HOME    = "/tmp"
      KEY     = "models/llama.gguf"
      SHA256  = "0000000000000000000000000000000000000000000000000000000000000000"
      VERSION = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
    }
    error_message = "Another model is read."
  }

  assert {
    condition     = jsonencode([for statement in data.aws_iam_policy_document.model.statement : [statement.sid, statement.actions, statement.resources]]) == jsonencode([["ReadModel", ["s3:GetObjectVersion"], ["arn:aws:s3:::my-models/models/llama.gguf"]]]) && one(data.aws_iam_policy_document.model.statement[0].condition).values == tolist(["3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"])
    error_message = "The role may read something else than one version of one object."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].readonlyRootFilesystem && jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].linuxParameters.tmpfs == [{ containerPath = "/tmp", size = 64 }]
    error_message = "What loads the model can write everywhere, or has no home."
  }

  assert {
    condition     = aws_appautoscaling_target.ecs[0].min_capacity == 0 && aws_ecs_capacity_provider.this[0].auto_scaling_group_provider[0].managed_scaling[0].status == "ENABLED"
    error_message = "It does not scale to zero."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.ecs_wakes[0].metric_name == "HTTPCode_ELB_503_Count" && aws_cloudwatch_metric_alarm.ecs_wakes[0].evaluation_periods == 1 && aws_cloudwatch_metric_alarm.ecs_wakes[0].alarm_actions == toset([aws_appautoscaling_policy.ecs_wakes[0].arn]) && one(aws_appautoscaling_policy.ecs_wakes[0].step_scaling_policy_configuration).adjustment_type == "ChangeInCapacity" && one(aws_appautoscaling_policy.ecs_wakes[0].step_scaling_policy_configuration).cooldown == aws_ecs_service.this[0].health_check_grace_period_seconds
    error_message = "A request does not wake it, or each minute of waiting starts another copy."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.ecs_sleeps[0].evaluation_periods == 30 && aws_cloudwatch_metric_alarm.ecs_sleeps[0].datapoints_to_alarm == 30 && aws_cloudwatch_metric_alarm.ecs_sleeps[0].treat_missing_data == "notBreaching" && aws_cloudwatch_metric_alarm.ecs_sleeps[0].alarm_actions == toset([aws_appautoscaling_policy.ecs_sleeps[0].arn]) && one(one(aws_appautoscaling_policy.ecs_sleeps[0].step_scaling_policy_configuration).step_adjustment).scaling_adjustment == 0
    error_message = "It does not end after the idle minutes, or it does without any."
  }

  assert {
    condition     = { for query in aws_cloudwatch_metric_alarm.ecs_sleeps[0].metric_query : query.id => try(query.metric[0].metric_name, query.expression) } == { idle = "IF(FILL(healthy, 0) > 0 AND FILL(requests, 0) < 1, 1, 0)", healthy = "HealthyHostCount", requests = "RequestCount" } && alltrue([for query in aws_cloudwatch_metric_alarm.ecs_sleeps[0].metric_query : query.metric[0].dimensions == tomap({ LoadBalancer = "app/big/1", TargetGroup = "targetgroup/big/1" }) if query.id != "idle"])
    error_message = "A minute in which no copy could answer counts as idle, so that one that loads is ended."
  }

  assert {
    condition     = one(aws_appautoscaling_policy.ecs[0].target_tracking_scaling_policy_configuration).target_value == 32 && one(one(aws_appautoscaling_policy.ecs[0].target_tracking_scaling_policy_configuration).predefined_metric_specification).resource_label == "app/big/1/targetgroup/big/1"
    error_message = "It does not scale by the load of its copies."
  }

  assert {
    condition     = output.backend.kind == "openai_http" && output.backend.url == "https://gpu.example.com" && length(output.backend.arns) == 0 && output.invoke_policy_json == null && output.load_balancer.dns_name == "internal-big-1.eu-central-1.elb.amazonaws.com"
    error_message = "A router is told something else than where the model is."
  }
}

run "llama_cpp_that_is_always_there" {
  variables {
    server      = "llama.cpp"
    copies      = { min = 1, max = 2, requests = 16 }
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
    ecs         = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, arguments = ["--ctx-size", "32768"], answer_seconds = 60 }
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[1].command == ["--model", "/model/llama.gguf", "--alias", "big", "--ctx-size", "32768"] && aws_lb_target_group.this[0].port == 8080
    error_message = "llama.cpp is not told which model it serves, or asked at another port."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.ecs_sleeps) + length(aws_cloudwatch_metric_alarm.ecs_wakes) == 0 && one(aws_appautoscaling_policy.ecs[0].target_tracking_scaling_policy_configuration).target_value == 16 && aws_autoscaling_group.this[0].max_size == 2 && aws_launch_template.this[0].block_device_mappings[0].ebs[0].kms_key_id == "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
    error_message = "It scales otherwise than it was asked to, or its disk has another key."
  }
}

run "a_folder" {
  variables {
    model = { bucket = "my-models", key = "models/llama/" }
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[1].command[1] == "/model/" && jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].command == ["exec aws s3 cp --recursive --only-show-errors \"s3://$BUCKET/$KEY\" /model/"] && data.aws_iam_policy_document.model.statement[0].resources == toset(["arn:aws:s3:::my-models/models/llama/*"])
    error_message = "Something else than the folder is read."
  }
}
