# A function on Managed Instances: what a stack gets.

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
  kind       = "lambda-gpu"
  name       = "big"
  image      = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/vllm:cuda-v1"
  model      = { bucket = "my-models", key = "models/llama/" }
  lambda_gpu = { gpu_memory_gb = 24, instance_types = ["g6.xlarge"] }
  vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
}

run "a_function" {
  assert {
    condition     = jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.Function.Properties.AcceleratorConfig == { AcceleratorMemorySize = 24 } && jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.Function.Properties.PackageType == "Image" && jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.Function.Properties.Architectures == ["x86_64"]
    error_message = "The function has no GPU, or is none that may have one."
  }

  assert {
    condition = jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.Function.Properties.Environment.Variables == {
      MODEL_ID            = "s3://my-models/models/llama/"
      SERVED_MODEL_NAME   = "big"
      VLLM_LOAD_FORMAT    = "runai_streamer"
      VLLM_SERVER_TIMEOUT = "870"
    }
    error_message = "vLLM is not told which model it serves."
  }

  assert {
    condition     = [for name, resource in jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources : resource.Properties.FunctionScalingConfig if resource.Type == "AWS::Lambda::Version"] == [{ MinExecutionEnvironments = 0, MaxExecutionEnvironments = 1 }]
    error_message = "It does not scale to zero."
  }

  assert {
    condition     = contains(keys(jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources), jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.Alias.Properties.FunctionVersion["Fn::GetAtt"][0])
    error_message = "The alias does not point at the version."
  }

  assert {
    condition     = aws_iam_role_policy_attachment.operator[0].policy_arn == "arn:aws:iam::aws:policy/AWSLambdaManagedEC2ResourceOperator" && length(data.aws_iam_policy_document.sagemaker) == 0
    error_message = "Lambda can't start instances, or the model may."
  }

  assert {
    condition     = output.backend.kind == "lambda_invoke" && output.backend.function == "arn:aws:lambda:eu-central-1:123456789012:function:big:live" && output.backend.scales_to_zero && data.aws_iam_policy_document.invoke[0].statement[0].actions == toset(["lambda:InvokeFunction"]) && data.aws_iam_policy_document.invoke[0].statement[0].resources == toset(["arn:aws:lambda:eu-central-1:123456789012:function:big:live"])
    error_message = "A caller may ask something else than the alias."
  }
}

run "with_a_key" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
  }

  assert {
    condition     = jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.Function.Properties.KmsKeyArn == "arn:aws:kms:eu-central-1:123456789012:key/1234abcd" && jsondecode(aws_cloudformation_stack.lambda[0].template_body).Resources.CapacityProvider.Properties.KmsKeyArn == "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
    error_message = "Environment or disks are encrypted with another key."
  }
}
