# A function on Lambda Managed Instances with a GPU. All of it is one stack of CloudFormation, because the provider has no
# accelerator_config.

locals {
  lambda_alias = "live"

  lambda_function = var.kind != "lambda-gpu" ? null : merge(
    {
      FunctionName  = var.name
      Description   = "The model ${var.name} on GPUs"
      PackageType   = "Image"
      Architectures = ["x86_64"]
      Code          = { ImageUri = var.image }
      Role          = { Ref = "RoleArn" }
      MemorySize    = var.lambda_gpu.memory_mb
      Timeout       = var.lambda_gpu.timeout
      AcceleratorConfig = {
        AcceleratorMemorySize = var.lambda_gpu.gpu_memory_gb
      }
      CapacityProviderConfig = {
        LambdaManagedInstancesCapacityProviderConfig = {
          CapacityProviderArn                   = { "Fn::GetAtt" = ["CapacityProvider", "Arn"] }
          PerExecutionEnvironmentMaxConcurrency = var.copies.requests
        }
      }
      Environment = {
        Variables = merge({ VLLM_SERVER_TIMEOUT = tostring(var.lambda_gpu.timeout - 30) }, var.environment, {
          MODEL_ID          = "s3://${var.model.bucket}/${var.model.key}"
          SERVED_MODEL_NAME = var.name
          VLLM_LOAD_FORMAT  = "runai_streamer"
        })
      }
      LoggingConfig = { LogFormat = "JSON", LogGroup = local.log_group }
      Tags          = local.cloudformation_tags
    },
    var.kms_key_arn == null ? {} : { KmsKeyArn = var.kms_key_arn },
  )

  # A version is immutable: another function is another version, and the alias moves to it once it is ready.
  lambda_version = "Version${substr(sha256(jsonencode(local.lambda_function)), 0, 12)}"

  # Of ARNs that are made in the same apply the template has parameters, so that a plan can show it.
  lambda_template = var.kind != "lambda-gpu" ? "" : jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "The model ${var.name} on Lambda Managed Instances with GPUs"
    Parameters               = { RoleArn = { Type = "String" }, OperatorRoleArn = { Type = "String" } }
    Resources = {
      CapacityProvider = {
        Type = "AWS::Lambda::CapacityProvider"
        Properties = merge(
          {
            VpcConfig         = { SubnetIds = var.vpc.subnet_ids, SecurityGroupIds = var.vpc.security_group_ids }
            PermissionsConfig = { CapacityProviderOperatorRoleArn = { Ref = "OperatorRoleArn" } }
            InstanceRequirements = merge(
              { Architectures = ["x86_64"] },
              length(var.lambda_gpu.instance_types) == 0 ? {} : { AllowedInstanceTypes = var.lambda_gpu.instance_types },
            )
            CapacityProviderScalingConfig = {
              MaxVCpuCount    = var.lambda_gpu.max_vcpus
              ScalingMode     = "Manual"
              ScalingPolicies = [{ PredefinedMetricType = "LambdaCapacityProviderAverageGPUUtilization", TargetValue = 60 }]
            }
            Tags = local.cloudformation_tags
          },
          var.kms_key_arn == null ? {} : { KmsKeyArn = var.kms_key_arn },
        )
      }

      Function = { Type = "AWS::Lambda::Function", Properties = local.lambda_function }

      (local.lambda_version) = {
        Type = "AWS::Lambda::Version"
        Properties = {
          FunctionName          = { Ref = "Function" }
          FunctionScalingConfig = { MinExecutionEnvironments = var.copies.min, MaxExecutionEnvironments = var.copies.max }
        }
      }

      Alias = {
        Type = "AWS::Lambda::Alias"
        Properties = {
          Name            = local.lambda_alias
          FunctionName    = { Ref = "Function" }
          FunctionVersion = { "Fn::GetAtt" = [local.lambda_version, "Version"] }
        }
      }
    }
    Outputs = {
      AliasArn = { Value = { Ref = "Alias" } }
    }
  })
}

data "aws_iam_policy_document" "operator_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

# With this role Lambda itself starts and ends the instances; the function does not have it.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-operator-role.html
resource "aws_iam_role" "operator" {
  count = var.kind == "lambda-gpu" ? 1 : 0

  name_prefix          = "${var.name}-"
  path                 = var.path
  description          = "With this Lambda starts and ends the instances of ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.operator_assume.json
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags
}

resource "aws_iam_role_policy_attachment" "operator" {
  count = var.kind == "lambda-gpu" ? 1 : 0

  role       = aws_iam_role.operator[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AWSLambdaManagedEC2ResourceOperator"
}

resource "aws_cloudformation_stack" "lambda" {
  #checkov:skip=CKV_AWS_124:Terraform waits for the stack and tells what became of it.
  count = var.kind == "lambda-gpu" ? 1 : 0

  name          = "${var.name}-lambda"
  template_body = local.lambda_template
  parameters    = { RoleArn = aws_iam_role.this.arn, OperatorRoleArn = aws_iam_role.operator[0].arn }
  on_failure    = "DELETE"
  tags          = local.tags

  timeout_in_minutes = 90

  depends_on = [
    aws_iam_role_policy.model,
    aws_iam_role_policy.logs,
    aws_iam_role_policy_attachment.operator,
    aws_cloudwatch_log_group.this,
  ]
}
