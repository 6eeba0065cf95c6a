# A real-time endpoint with one inference component, which is what can scale to zero. All of it is one stack of
# CloudFormation: the provider has no inference components, and 5.100 demands a model of every variant, which an endpoint
# for components must not have.

locals {
  sagemaker_variant = "main"

  sagemaker_server = {
    vllm = merge(
      { SM_VLLM_SERVED_MODEL_NAME = var.name },
      local.folder ? {} : { SM_VLLM_MODEL = "/opt/ml/model/${local.model_file}" },
    )
    "llama.cpp" = {
      SM_LLAMA_CPP_ALIAS = var.name
      SM_LLAMA_CPP_MODEL = "/opt/ml/model/${local.model_file}"
    }
  }[var.server]

  cloudformation_tags = [for key, value in local.tags : { Key = key, Value = value }]

  # Of ARNs that are made in the same apply the template has parameters, so that a plan can show it.
  sagemaker_template = var.kind != "sagemaker" ? "" : jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "The model ${var.name} on a SageMaker endpoint that scales to zero"
    Parameters               = { RoleArn = { Type = "String" } }
    Resources = {
      Model = {
        Type = "AWS::SageMaker::Model"
        Properties = {
          ExecutionRoleArn       = { Ref = "RoleArn" }
          EnableNetworkIsolation = true
          PrimaryContainer = {
            Image       = var.image
            Environment = merge(var.environment, local.sagemaker_server)
            ModelDataSource = {
              S3DataSource = {
                S3Uri           = "s3://${var.model.bucket}/${var.model.key}"
                S3DataType      = local.folder ? "S3Prefix" : "S3Object"
                CompressionType = "None"
              }
            }
          }
          Tags = local.cloudformation_tags
        }
      }

      EndpointConfig = {
        Type = "AWS::SageMaker::EndpointConfig"
        Properties = merge(
          {
            ExecutionRoleArn       = { Ref = "RoleArn" }
            EnableNetworkIsolation = true
            ProductionVariants = [merge(
              {
                VariantName          = local.sagemaker_variant
                InstanceType         = var.sagemaker.instance_type
                InitialInstanceCount = 1
                ManagedInstanceScaling = {
                  Status           = "ENABLED"
                  MinInstanceCount = var.copies.min == 0 ? 0 : 1
                  MaxInstanceCount = var.copies.max
                }
                ModelDataDownloadTimeoutInSeconds           = var.sagemaker.start_seconds
                ContainerStartupHealthCheckTimeoutInSeconds = var.sagemaker.start_seconds
                RoutingConfig                               = { RoutingStrategy = "LEAST_OUTSTANDING_REQUESTS" }
              },
              var.sagemaker.ami == null ? {} : { InferenceAmiVersion = var.sagemaker.ami },
            )]
            Tags = local.cloudformation_tags
          },
          var.kms_key_arn == null ? {} : { KmsKeyId = var.kms_key_arn },
          var.vpc == null ? {} : { VpcConfig = { Subnets = var.vpc.subnet_ids, SecurityGroupIds = var.vpc.security_group_ids } },
        )
      }

      Endpoint = {
        Type = "AWS::SageMaker::Endpoint"
        Properties = {
          EndpointName       = var.name
          EndpointConfigName = { "Fn::GetAtt" = ["EndpointConfig", "EndpointConfigName"] }
          Tags               = local.cloudformation_tags
        }
      }

      # The first copy is started at once, so that an apply fails with a model that can't be loaded.
      InferenceComponent = {
        Type = "AWS::SageMaker::InferenceComponent"
        Properties = {
          InferenceComponentName = var.name
          EndpointName           = { "Fn::GetAtt" = ["Endpoint", "EndpointName"] }
          VariantName            = local.sagemaker_variant
          Specification = {
            ModelName = { "Fn::GetAtt" = ["Model", "ModelName"] }
            ComputeResourceRequirements = merge(
              {
                NumberOfAcceleratorDevicesRequired = var.sagemaker.accelerators
                MinMemoryRequiredInMb              = var.sagemaker.memory_mb
              },
              var.sagemaker.cpu_cores == null ? {} : { NumberOfCpuCoresRequired = var.sagemaker.cpu_cores },
            )
            StartupParameters = {
              ModelDataDownloadTimeoutInSeconds           = var.sagemaker.start_seconds
              ContainerStartupHealthCheckTimeoutInSeconds = var.sagemaker.start_seconds
            }
          }
          RuntimeConfig = { CopyCount = max(1, var.copies.min) }
          Tags          = local.cloudformation_tags
        }
      }
    }
    Outputs = {
      EndpointArn           = { Value = { Ref = "Endpoint" } }
      InferenceComponentArn = { Value = { "Fn::GetAtt" = ["InferenceComponent", "InferenceComponentArn"] } }
    }
  })
}

# https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createmodel-perms
data "aws_iam_policy_document" "sagemaker" {
  #checkov:skip=CKV_AWS_111:The actions for network interfaces take no resource.
  #checkov:skip=CKV_AWS_356:Neither do those for metrics and for the list of network interfaces.
  count = var.kind == "sagemaker" ? 1 : 0

  source_policy_documents = [data.aws_iam_policy_document.images.json]

  statement {
    sid       = "WriteMetrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["AWS/SageMaker", "/aws/sagemaker/Endpoints", "/aws/sagemaker/InferenceComponents"]
    }
  }

  dynamic "statement" {
    for_each = var.vpc == null ? [] : [""]

    content {
      sid = "AttachToSubnets"
      actions = [
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
      ]
      resources = ["*"]
    }
  }
}

resource "aws_iam_role_policy" "sagemaker" {
  count = var.kind == "sagemaker" ? 1 : 0

  name   = "sagemaker"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.sagemaker[0].json
}

resource "aws_cloudformation_stack" "sagemaker" {
  #checkov:skip=CKV_AWS_124:Terraform waits for the stack and tells what became of it.
  count = var.kind == "sagemaker" ? 1 : 0

  name          = "${var.name}-sagemaker"
  template_body = local.sagemaker_template
  parameters    = { RoleArn = aws_iam_role.this.arn }
  on_failure    = "DELETE"
  tags          = local.tags

  timeout_in_minutes = 90

  depends_on = [aws_iam_role_policy.model, aws_iam_role_policy.logs, aws_iam_role_policy.sagemaker]
}

resource "aws_appautoscaling_target" "sagemaker" {
  count = var.kind == "sagemaker" ? 1 : 0

  service_namespace  = "sagemaker"
  resource_id        = "inference-component/${var.name}"
  scalable_dimension = "sagemaker:inference-component:DesiredCopyCount"
  min_capacity       = var.copies.min
  max_capacity       = var.copies.max
  tags               = local.tags

  depends_on = [aws_cloudformation_stack.sagemaker]
}

# Down to zero, and beyond one.
resource "aws_appautoscaling_policy" "sagemaker" {
  count = var.kind == "sagemaker" ? 1 : 0

  name               = "${var.name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.sagemaker[0].service_namespace
  resource_id        = aws_appautoscaling_target.sagemaker[0].resource_id
  scalable_dimension = aws_appautoscaling_target.sagemaker[0].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.copies.requests
    scale_in_cooldown  = 300
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
    }
  }
}

# From zero to one: without a copy there are no requests to count, but those that failed for want of one.
# https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html
resource "aws_appautoscaling_policy" "sagemaker_wakes" {
  count = var.kind == "sagemaker" && var.copies.min == 0 ? 1 : 0

  name               = "${var.name}-wakes"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.sagemaker[0].service_namespace
  resource_id        = aws_appautoscaling_target.sagemaker[0].resource_id
  scalable_dimension = aws_appautoscaling_target.sagemaker[0].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"

    # While the copy that was started downloads and loads the model, each minute's failure asks for the same one.
    cooldown = 2 * var.sagemaker.start_seconds

    step_adjustment {
      metric_interval_lower_bound = "0"
      scaling_adjustment          = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "sagemaker_wakes" {
  count = var.kind == "sagemaker" && var.copies.min == 0 ? 1 : 0

  alarm_name          = "${var.name}-wakes"
  alarm_description   = "A request came while ${var.name} had no copy: this starts one"
  namespace           = "AWS/SageMaker"
  metric_name         = "NoCapacityInvocationFailures"
  statistic           = "Maximum"
  dimensions          = { InferenceComponentName = var.name }
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "missing"
  alarm_actions       = [aws_appautoscaling_policy.sagemaker_wakes[0].arn]
  tags                = local.tags
}
