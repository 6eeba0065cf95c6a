# A failing case for every rule of the module; tests/terraform/test_rules.py holds the two against each other.

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

run "another_kind" {
  command = plan

  variables {
    kind      = "eks"
    sagemaker = null
  }

  expect_failures = [var.kind]
}

run "a_long_name" {
  command = plan

  variables {
    name = "a-name-that-no-load-balancer-takes"
  }

  expect_failures = [var.name]
}

run "a_name_of_load_balancers_own" {
  command = plan

  variables {
    name = "internal-llm"
  }

  expect_failures = [var.name]
}

run "another_server" {
  command = plan

  variables {
    server = "tgi"
  }

  expect_failures = [var.server]
}

run "llama_cpp_on_lambda" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24 }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    server     = "llama.cpp"
  }

  expect_failures = [var.server]
}

run "a_public_image" {
  command = plan

  variables {
    image = "public.ecr.aws/deep-learning-containers/vllm:server-cuda"
  }

  expect_failures = [var.image]
}

run "an_image_that_changes" {
  command = plan

  variables {
    image = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/vllm:latest"
  }

  expect_failures = [var.image]
}

run "a_bucket_as_an_address" {
  command = plan

  variables {
    model = { bucket = "s3://my-models", key = "models/llama/" }
  }

  expect_failures = [var.model]
}

run "any_model" {
  command = plan

  variables {
    model = { bucket = "my-models", key = "models/*" }
  }

  expect_failures = [var.model]
}

run "a_folder_for_llama_cpp" {
  command = plan

  variables {
    server = "llama.cpp"
  }

  expect_failures = [var.model]
}

run "a_file_on_lambda" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24 }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    model      = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.model]
}

run "a_file_without_version_on_ecs" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" } }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf" }
  }

  expect_failures = [var.model]
}

run "a_model_key_alias" {
  command = plan

  variables {
    model = { bucket = "my-models", key = "models/llama/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/models" }
  }

  expect_failures = [var.model]
}

run "more_than_the_most_copies" {
  command = plan

  variables {
    copies = { min = 2 }
  }

  expect_failures = [var.copies]
}

run "half_a_request" {
  command = plan

  variables {
    copies = { requests = 0.5 }
  }

  expect_failures = [var.copies]
}

run "a_variable_with_a_space" {
  command = plan

  variables {
    environment = { "SM VLLM" = "1" }
  }

  expect_failures = [var.environment]
}

run "another_model_in_the_environment" {
  command = plan

  variables {
    environment = { SM_VLLM_MODEL = "openai/gpt-oss-20b" }
  }

  expect_failures = [var.environment]
}

run "a_secret_in_the_environment" {
  command = plan

  variables {
    environment = { HF_TOKEN = "hf_abc" }
  }

  expect_failures = [var.environment]
}

run "lambda_without_vpc" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24 }
    vpc        = null
  }

  expect_failures = [var.vpc]
}

run "one_subnet_for_a_load_balancer" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" } }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.vpc]
}

run "ecs_without_vpc_id" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" } }
    vpc       = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.vpc]
}

run "sagemaker_without_security_group" {
  command = plan

  variables {
    vpc = { subnet_ids = ["subnet-1"] }
  }

  expect_failures = [var.vpc]
}

run "sagemaker_left_out" {
  command = plan

  variables {
    sagemaker = null
  }

  expect_failures = [var.sagemaker]
}

run "a_type_without_gpu" {
  command = plan

  variables {
    sagemaker = { instance_type = "ml.c7g.xlarge" }
  }

  expect_failures = [var.sagemaker]
}

run "half_an_accelerator" {
  command = plan

  variables {
    sagemaker = { instance_type = "ml.g6.xlarge", accelerators = 0.5 }
  }

  expect_failures = [var.sagemaker]
}

run "a_start_of_two_hours" {
  command = plan

  variables {
    sagemaker = { instance_type = "ml.g6.xlarge", start_seconds = 7200 }
  }

  expect_failures = [var.sagemaker]
}

run "lambda_gpu_left_out" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = null
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.lambda_gpu]
}

run "eight_gb" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 8 }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.lambda_gpu]
}

run "memory_of_a_small_function" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24, memory_mb = 1024 }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.lambda_gpu]
}

run "a_timeout_of_an_hour" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24, timeout = 3600 }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.lambda_gpu]
}

run "one_vcpu" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24, max_vcpus = 1 }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.lambda_gpu]
}

run "lambda_on_a_type_without_gpu" {
  command = plan

  variables {
    kind       = "lambda-gpu"
    sagemaker  = null
    lambda_gpu = { gpu_memory_gb = 24, instance_types = ["c7i.xlarge"] }
    vpc        = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.lambda_gpu]
}

run "ecs_left_out" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = null
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "ecs_on_a_type_without_gpu" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, instance_type = "c7i.xlarge" }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "a_public_image_that_fetches" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, fetch_image = "public.ecr.aws/aws-cli/aws-cli:2.31" }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "no_certificate" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, certificate_arn = "" }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "an_address_as_host" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", callers = { router = "sg-0a1b2c3d" }, host = "https://gpu.example.com" }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "nobody_who_calls" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = {} }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "an_ami_instead_of_a_parameter" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, ami_parameter = "ami-0a1b2c3d" }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "half_a_gpu" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, gpus = 0.5 }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "idle_for_a_minute" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, idle_minutes = 1 }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "answers_in_no_time" {
  command = plan

  variables {
    kind      = "ecs"
    sagemaker = null
    ecs       = { instance_type = "g6.xlarge", fetch_image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/aws-cli:2.31", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1234abcd", host = "gpu.example.com", callers = { router = "sg-0a1b2c3d" }, answer_seconds = 0 }
    vpc       = { id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
    model     = { bucket = "my-models", key = "models/llama.gguf", version_id = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }

  expect_failures = [var.ecs]
}

run "an_alias_of_a_key" {
  command = plan

  variables {
    kind        = "lambda-gpu"
    sagemaker   = null
    lambda_gpu  = { gpu_memory_gb = 24 }
    vpc         = { subnet_ids = ["subnet-1", "subnet-2"], security_group_ids = ["sg-1"] }
    kms_key_arn = "alias/gpu"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_key_for_disks_of_the_instance" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
  }

  expect_failures = [var.kms_key_arn]
}

run "a_path_without_slash" {
  command = plan

  variables {
    path = "/teams"
  }

  expect_failures = [var.path]
}

run "a_boundary_that_is_a_role" {
  command = plan

  variables {
    permissions_boundary = "arn:aws:iam::123456789012:role/boundary"
  }

  expect_failures = [var.permissions_boundary]
}

run "logs_for_ever" {
  command = plan

  variables {
    log_retention_days = 0
  }

  expect_failures = [var.log_retention_days]
}

run "an_alias_of_a_key_for_logs" {
  command = plan

  variables {
    log_kms_key_arn = "alias/logs"
  }

  expect_failures = [var.log_kms_key_arn]
}

run "the_mark_as_a_tag" {
  command = plan

  variables {
    tags = { lambda-llm = "inference" }
  }

  expect_failures = [var.tags]
}

run "a_tag_of_aws" {
  command = plan

  variables {
    tags = { "aws:team" = "search" }
  }

  expect_failures = [var.tags]
}

run "an_image_from_elsewhere" {
  command = plan

  variables {
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v1"
  }

  expect_failures = [aws_cloudwatch_log_group.this]
}
