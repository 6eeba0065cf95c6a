# What a stack gets. SageMaker is in no local AWS: tests/terraform/test_gpu_endpoint.py holds the templates against cfn-lint
# and the service's own model.

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
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:eu-central-1:123456789012:scalingPolicy:1" }
  }
  mock_resource "aws_cloudformation_stack" {
    defaults = { outputs = {
      EndpointArn           = "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/big"
      InferenceComponentArn = "arn:aws:sagemaker:eu-central-1:123456789012:inference-component/big"
      AliasArn              = "arn:aws:lambda:eu-central-1:123456789012:function:big:live"
    } }
  }
}

variables {
  kind      = "sagemaker"
  name      = "big"
  image     = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/vllm:server-sagemaker-cuda-v1"
  model     = { bucket = "my-models", key = "models/llama/" }
  sagemaker = { instance_type = "ml.g6.xlarge" }
}

run "an_endpoint" {
  assert {
    condition     = jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.Model.Properties.EnableNetworkIsolation && jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.EndpointConfig.Properties.EnableNetworkIsolation
    error_message = "The containers have a network."
  }

  assert {
    condition     = jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.EndpointConfig.Properties.ProductionVariants[0].ManagedInstanceScaling == { Status = "ENABLED", MinInstanceCount = 0, MaxInstanceCount = 1 } && aws_appautoscaling_target.sagemaker[0].min_capacity == 0
    error_message = "It does not scale to zero."
  }

  assert {
    condition     = aws_appautoscaling_target.sagemaker[0].resource_id == "inference-component/big" && jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.InferenceComponent.Properties.InferenceComponentName == "big"
    error_message = "What is scaled is not the component."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.sagemaker_wakes[0].metric_name == "NoCapacityInvocationFailures" && aws_cloudwatch_metric_alarm.sagemaker_wakes[0].dimensions == tomap({ InferenceComponentName = "big" }) && aws_cloudwatch_metric_alarm.sagemaker_wakes[0].alarm_actions == toset([aws_appautoscaling_policy.sagemaker_wakes[0].arn]) && one(aws_appautoscaling_policy.sagemaker_wakes[0].step_scaling_policy_configuration).cooldown == 3600
    error_message = "A request does not wake it."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.model.statement : [statement.sid, statement.actions, statement.resources]]) == jsonencode([
      ["ReadModel", ["s3:GetObject"], ["arn:aws:s3:::my-models/models/llama/*"]],
      ["ListModel", ["s3:ListBucket"], ["arn:aws:s3:::my-models"]],
    ]) && one(data.aws_iam_policy_document.model.statement[1].condition).values == tolist(["models/llama/*"])
    error_message = "The role may read something else than the model."
  }

  assert {
    condition     = jsonencode([for statement in data.aws_iam_policy_document.sagemaker[0].statement : statement.sid]) == jsonencode(["WriteMetrics"]) && data.aws_iam_policy_document.images.statement[0].resources == toset(["arn:aws:ecr:eu-central-1:763104351884:repository/vllm"])
    error_message = "The role may do more than pull its image and write metrics."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/aws/sagemaker/InferenceComponents/big" && aws_cloudwatch_log_group.this.retention_in_days == 365
    error_message = "The log group is not the component's."
  }

  assert {
    condition = jsonencode(output.backend) == jsonencode({
      kind                = "sagemaker"
      model               = "big"
      region              = "eu-central-1"
      endpoint_name       = "big"
      inference_component = "big"
      function            = null
      url                 = null
      arns                = ["arn:aws:sagemaker:eu-central-1:123456789012:endpoint/big", "arn:aws:sagemaker:eu-central-1:123456789012:inference-component/big"]
      scales_to_zero      = true
    })
    error_message = "A router is told something else than where the model is."
  }

  assert {
    condition     = data.aws_iam_policy_document.invoke[0].statement[0].actions == toset(["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]) && data.aws_iam_policy_document.invoke[0].statement[0].resources == toset(["arn:aws:sagemaker:eu-central-1:123456789012:endpoint/big", "arn:aws:sagemaker:eu-central-1:123456789012:inference-component/big"])
    error_message = "A caller may do something else than ask this model."
  }

  assert {
    condition     = length(aws_ecs_cluster.this) == 0 && length(aws_cloudformation_stack.lambda) == 0 && length(aws_iam_role.operator) == 0 && output.load_balancer == null
    error_message = "There is something of another kind."
  }
}

run "with_everything" {
  variables {
    server      = "llama.cpp"
    model       = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd" }
    copies      = { min = 1, max = 3 }
    environment = { SM_LLAMA_CPP_CTX_SIZE = "32768" }
    vpc         = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    sagemaker   = { instance_type = "ml.p3.2xlarge", ami = "al2-ami-sagemaker-inference-gpu-3-1", cpu_cores = 4 }
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/5678"
    tags        = { team = "search" }
  }

  assert {
    condition = jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.Model.Properties.PrimaryContainer == {
      Image       = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/vllm:server-sagemaker-cuda-v1"
      Environment = { SM_LLAMA_CPP_ALIAS = "big", SM_LLAMA_CPP_CTX_SIZE = "32768", SM_LLAMA_CPP_MODEL = "/opt/ml/model/llama.gguf" }
      ModelDataSource = {
        S3DataSource = { S3Uri = "s3://my-models/models/llama.gguf", S3DataType = "S3Object", CompressionType = "None" }
      }
    }
    error_message = "llama.cpp is not given its model."
  }

  assert {
    condition     = jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.EndpointConfig.Properties.KmsKeyId == "arn:aws:kms:eu-central-1:123456789012:key/5678" && jsondecode(aws_cloudformation_stack.sagemaker[0].template_body).Resources.EndpointConfig.Properties.VpcConfig == { Subnets = ["subnet-1", "subnet-2"], SecurityGroupIds = ["sg-1"] }
    error_message = "Disks or network are not as they were asked for."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.sagemaker_wakes) == 0 && aws_appautoscaling_target.sagemaker[0].min_capacity == 1 && aws_appautoscaling_target.sagemaker[0].max_capacity == 3 && !output.backend.scales_to_zero
    error_message = "It scales otherwise than it was asked to."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.model.statement : [statement.sid, statement.resources]]) == jsonencode([
      ["ReadModel", ["arn:aws:s3:::my-models/models/llama.gguf"]],
      ["ListModel", ["arn:aws:s3:::my-models"]],
      ["DecryptModel", ["arn:aws:kms:eu-central-1:123456789012:key/1234abcd"]],
    ])
    error_message = "The role may read something else than one object."
  }

  assert {
    condition     = aws_cloudformation_stack.sagemaker[0].tags == tomap({ lambda-llm = "gpu-endpoint", "lambda-llm:plane" = "inference", "lambda-llm:component" = "gpu-endpoint", team = "search" })
    error_message = "The stack has not its tags."
  }
}
