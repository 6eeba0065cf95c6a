variable "kind" {
  description = "Where the model runs: `sagemaker` (a real-time endpoint), `lambda-gpu` (Lambda Managed Instances with a GPU) or `ecs` (instances of your own behind a load balancer). docs/gpu.md compares them."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["sagemaker", "lambda-gpu", "ecs"], var.kind)
    error_message = "kind must be \"sagemaker\", \"lambda-gpu\" or \"ecs\"."
  }
}

variable "name" {
  description = "Name of the endpoint, function or service; everything else is named after it, and the server calls its model so."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.name) <= 28 && can(regex("^[a-z](-?[a-z0-9])*$", var.name)) && !startswith(var.name, "internal-")
    error_message = "name must be 1 to 28 lower-case letters, digits and single hyphens, beginning with a letter and not with internal-: load balancers accept no other."
  }
}

variable "server" {
  description = "What the image runs: `vllm` or `llama.cpp`, which is not on Lambda."
  type        = string
  default     = "vllm"
  nullable    = false

  validation {
    condition     = contains(["vllm", "llama.cpp"], var.server) && !(var.server == "llama.cpp" && var.kind == "lambda-gpu")
    error_message = "server must be \"vllm\" or \"llama.cpp\", and with kind = \"lambda-gpu\" it must be \"vllm\": AWS has no llama.cpp image for Lambda."
  }
}

variable "image" {
  description = "URI of AWS's image for this kind and server, with a tag or digest, in a private registry of ECR in the same region: https://aws.github.io/deep-learning-containers."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image must be ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY with a :TAG other than latest, or an @sha256:DIGEST: SageMaker and Lambda pull from nowhere else, and what runs must not change by itself."
  }
}

variable "model" {
  description = "The model: a reference of the module model-store's output `models`, or the folder of a model in safetensors, whose `key` ends in a slash."
  type = object({
    bucket      = string
    key         = string
    version_id  = optional(string)
    sha256      = optional(string)
    kms_key_arn = optional(string)
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.model.bucket))
    error_message = "model.bucket must be the name of an S3 bucket, without s3:// and without a path."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*(/|\\.gguf)$", var.model.key))
    error_message = "model.key must be that of a GGUF file (ending in .gguf), or of a folder (ending in a slash), of letters, digits and any of . _ - /: the role may read what it names and nothing else."
  }

  validation {
    condition     = !(var.server == "llama.cpp" && endswith(var.model.key, "/"))
    error_message = "model.key is a folder, which llama.cpp can't read: name a GGUF file, or set server = \"vllm\"."
  }

  validation {
    condition     = !(var.kind == "lambda-gpu" && !endswith(var.model.key, "/"))
    error_message = "model.key is a file: with kind = \"lambda-gpu\" vLLM streams the safetensors of a folder, whose key ends in a slash."
  }

  validation {
    condition     = var.kind != "ecs" || endswith(var.model.key, "/") || (try(length(var.model.version_id) > 0, false) && can(regex("^[0-9a-fA-F]{64}$", var.model.sha256)))
    error_message = "model must have version_id and sha256 (64 hex digits) with kind = \"ecs\" and a GGUF file: the task reads this version and no other, and compares its SHA-256."
  }

  validation {
    condition     = try(var.model.kms_key_arn, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.model.kms_key_arn))
    error_message = "model.kms_key_arn must be the ARN of the key itself (arn:aws:kms:REGION:ACCOUNT:key/ID): IAM policies do not resolve aliases."
  }
}

variable "copies" {
  description = "Copies of the model, each on GPUs of its own: with `min` 0 there is none, and no instance, while nobody asks; `max`; and the `requests` at a time of one copy above which another is started."
  type = object({
    min      = optional(number, 0)
    max      = optional(number, 1)
    requests = optional(number, 8)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.copies.min >= 0 && var.copies.max >= 1 && var.copies.max <= 100 && var.copies.min <= var.copies.max && floor(var.copies.min) == var.copies.min && floor(var.copies.max) == var.copies.max
    error_message = "copies.min must be a whole number from 0 to copies.max, and copies.max one from 1 to 100."
  }

  validation {
    condition     = var.copies.requests >= 1 && var.copies.requests <= 1600 && floor(var.copies.requests) == var.copies.requests
    error_message = "copies.requests must be a whole number from 1 to 1,600: the requests that one copy answers at a time."
  }
}

variable "environment" {
  description = "Further settings of the server, as its image documents them: SM_VLLM_* or SM_LLAMA_CPP_* on SageMaker, VLLM_* on Lambda. No secrets: state and console show them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Za-z][A-Za-z0-9_]*$", name)) && length(name) <= 1024 && length(value) <= 1024]) && length(var.environment) <= 90
    error_message = "environment must have at most 90 variables, whose names are letters, digits and underscores beginning with a letter, and whose values have at most 1,024 characters: SageMaker accepts no other."
  }

  validation {
    condition     = length(setintersection(keys(var.environment), ["MODEL_ID", "SERVED_MODEL_NAME", "VLLM_LOAD_FORMAT", "SM_VLLM_MODEL", "SM_VLLM_SERVED_MODEL_NAME", "SM_LLAMA_CPP_MODEL", "SM_LLAMA_CPP_ALIAS"])) == 0
    error_message = "environment has a variable that this module sets (which model, from where, and its name): leave it out, and set model and name."
  }

  validation {
    condition     = length([for name in keys(var.environment) : name if can(regex("(^|_)(TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)$", upper(name)))]) == 0
    error_message = "environment has a variable named like a secret, which would be in Terraform's state and in every console: these servers need none, as IAM or the network says who may call them, and the model comes from S3."
  }
}

variable "vpc" {
  description = "Where the instances are: private subnets that reach S3, ECR and CloudWatch Logs, by endpoints or a NAT gateway. Required but for `sagemaker`, whose containers have no network at all; `id` is for `ecs` alone."
  type = object({
    id                 = optional(string)
    subnet_ids         = list(string)
    security_group_ids = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.vpc != null || var.kind == "sagemaker"
    error_message = "vpc must be set with kind = \"lambda-gpu\" and \"ecs\", whose instances are in your own subnets."
  }

  validation {
    condition     = var.vpc == null || try(length(var.vpc.subnet_ids) >= (var.kind == "ecs" ? 2 : 1) && length(var.vpc.subnet_ids) <= 16, false)
    error_message = "vpc.subnet_ids must name 1 to 16 subnets, and with kind = \"ecs\" two in different zones, which a load balancer requires."
  }

  validation {
    condition     = var.vpc == null || try(var.kind == "ecs" ? var.vpc.id != null : length(var.vpc.security_group_ids) >= 1 && length(var.vpc.security_group_ids) <= 5, false)
    error_message = "vpc must have an id with kind = \"ecs\", which makes its own security groups, and 1 to 5 security_group_ids with any other kind."
  }
}

variable "sagemaker" {
  description = "For `kind = \"sagemaker\"`: the instance type, and what one copy takes of an instance: its accelerators, vCPUs (default: SageMaker decides) and MB of memory. `ami` is SageMaker's own, by its CUDA driver; `start_seconds` is the time to download the model, and again to load it."
  type = object({
    instance_type = string
    accelerators  = optional(number, 1)
    cpu_cores     = optional(number)
    memory_mb     = optional(number, 8192)
    ami           = optional(string)
    start_seconds = optional(number, 1800)
  })
  default = null

  validation {
    condition     = (var.sagemaker != null) == (var.kind == "sagemaker")
    error_message = "sagemaker must be set with kind = \"sagemaker\", and with no other."
  }

  validation {
    condition     = var.sagemaker == null || can(regex("^ml\\.(g|p)[0-9][a-z0-9-]*\\.[a-z0-9]+$", var.sagemaker.instance_type))
    error_message = "sagemaker.instance_type must be one with GPUs, as in ml.g6.xlarge."
  }

  validation {
    condition     = var.sagemaker == null || try(var.sagemaker.accelerators >= 1 && floor(var.sagemaker.accelerators) == var.sagemaker.accelerators && var.sagemaker.memory_mb >= 128 && floor(var.sagemaker.memory_mb) == var.sagemaker.memory_mb && coalesce(var.sagemaker.cpu_cores, 1) >= 0.25, false)
    error_message = "sagemaker.accelerators must be a whole number from 1, memory_mb one from 128, and cpu_cores at least 0.25."
  }

  validation {
    condition     = var.sagemaker == null || try(var.sagemaker.start_seconds >= 60 && var.sagemaker.start_seconds <= 3600 && floor(var.sagemaker.start_seconds) == var.sagemaker.start_seconds, false)
    error_message = "sagemaker.start_seconds must be a whole number from 60 to 3,600, which is all that SageMaker waits."
  }
}

variable "lambda_gpu" {
  description = "For `kind = \"lambda-gpu\"`: GB of GPU memory and MB of memory of one environment, the instance types that Lambda may start (default: any that fits), the seconds that a request may take, and how many vCPUs all instances may have."
  type = object({
    gpu_memory_gb  = number
    memory_mb      = optional(number, 16384)
    instance_types = optional(list(string), [])
    timeout        = optional(number, 900)
    max_vcpus      = optional(number, 16)
  })
  default = null

  validation {
    condition     = (var.lambda_gpu != null) == (var.kind == "lambda-gpu")
    error_message = "lambda_gpu must be set with kind = \"lambda-gpu\", and with no other."
  }

  validation {
    condition     = var.lambda_gpu == null || try(contains([3, 6, 12, 16, 24, 48], var.lambda_gpu.gpu_memory_gb), false)
    error_message = "lambda_gpu.gpu_memory_gb must be 3, 6, 12, 16, 24 or 48, which is all that Lambda accepts."
  }

  validation {
    condition     = var.lambda_gpu == null || try(var.lambda_gpu.memory_mb >= 2048 && var.lambda_gpu.memory_mb <= 32768 && floor(var.lambda_gpu.memory_mb) == var.lambda_gpu.memory_mb, false)
    error_message = "lambda_gpu.memory_mb must be a whole number of MB from 2,048 to 32,768, which is all that Managed Instances accept."
  }

  validation {
    condition     = var.lambda_gpu == null || try(var.lambda_gpu.timeout >= 60 && var.lambda_gpu.timeout <= 900 && floor(var.lambda_gpu.timeout) == var.lambda_gpu.timeout, false)
    error_message = "lambda_gpu.timeout must be a whole number of seconds from 60, as the model must be loaded, to 900."
  }

  validation {
    condition     = var.lambda_gpu == null || try(var.lambda_gpu.max_vcpus >= 2 && var.lambda_gpu.max_vcpus <= 15000 && floor(var.lambda_gpu.max_vcpus) == var.lambda_gpu.max_vcpus, false)
    error_message = "lambda_gpu.max_vcpus must be a whole number from 2 to 15,000: it bounds what the instances can cost."
  }

  validation {
    condition     = var.lambda_gpu == null || alltrue([for type in try(var.lambda_gpu.instance_types, []) : can(regex("^(g|p)[0-9][a-z0-9-]*\\.[a-z0-9*]+$", type))])
    error_message = "Each of lambda_gpu.instance_types must be one with GPUs, as in g6.xlarge."
  }
}

variable "ecs" {
  description = "For `kind = \"ecs\"`: the instance type and the GPUs and MB of memory of one copy; `fetch_image`, an image with the AWS CLI and a shell, which loads the model; `certificate_arn` and `host`, the name that it is for; `callers`, security groups that may connect; `ami_parameter`, the SSM parameter with the AMI; GB of disk for image and model; minutes without a request after which all copies end; the seconds of a usual answer, from which follows how many requests a minute are `copies.requests` at a time; and further `arguments` of the server."
  type = object({
    instance_type   = string
    gpus            = optional(number, 1)
    memory_mb       = optional(number, 12288)
    fetch_image     = string
    certificate_arn = string
    host            = string
    callers         = map(string)
    ami_parameter   = optional(string, "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id")
    disk_gb         = optional(number, 100)
    idle_minutes    = optional(number, 30)
    answer_seconds  = optional(number, 15)
    arguments       = optional(list(string), [])
  })
  default = null

  validation {
    condition     = (var.ecs != null) == (var.kind == "ecs")
    error_message = "ecs must be set with kind = \"ecs\", and with no other."
  }

  validation {
    condition     = var.ecs == null || can(regex("^(g|p)[0-9][a-z0-9-]*\\.[a-z0-9]+$", var.ecs.instance_type))
    error_message = "ecs.instance_type must be one with GPUs, as in g6.xlarge."
  }

  validation {
    condition     = var.ecs == null || can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$", var.ecs.fetch_image))
    error_message = "ecs.fetch_image must be ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY with a :TAG or an @sha256:DIGEST, such as a copy of public.ecr.aws/aws-cli/aws-cli."
  }

  validation {
    condition     = var.ecs == null || can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/[a-zA-Z0-9-]+$", var.ecs.certificate_arn))
    error_message = "ecs.certificate_arn must be the ARN of a certificate in ACM: without TLS, prompts and answers could be read on their way."
  }

  validation {
    condition     = var.ecs == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.ecs.host))
    error_message = "ecs.host must be the DNS name that the certificate is for, as in gpu.example.com, without https:// and without a path."
  }

  validation {
    condition     = var.ecs == null || try(length(var.ecs.callers) >= 1, false)
    error_message = "ecs.callers must have the security group of at least one caller by a name, as in { router = \"sg-…\" }: nobody else can connect, and the server itself asks nobody who they are."
  }

  validation {
    condition     = var.ecs == null || can(regex("^/[A-Za-z0-9_./-]+$", var.ecs.ami_parameter))
    error_message = "ecs.ami_parameter must be the name of an SSM parameter, beginning with a slash."
  }

  validation {
    condition     = var.ecs == null || try(var.ecs.gpus >= 1 && var.ecs.gpus <= 16 && floor(var.ecs.gpus) == var.ecs.gpus && var.ecs.memory_mb >= 1024 && floor(var.ecs.memory_mb) == var.ecs.memory_mb && var.ecs.disk_gb >= 30 && var.ecs.disk_gb <= 16384 && floor(var.ecs.disk_gb) == var.ecs.disk_gb, false)
    error_message = "ecs.gpus must be a whole number from 1 to 16, memory_mb one from 1,024, and disk_gb one from 30, which the AMI takes, to 16,384."
  }

  validation {
    condition     = var.ecs == null || try(var.ecs.idle_minutes >= 15 && var.ecs.idle_minutes <= 1440 && floor(var.ecs.idle_minutes) == var.ecs.idle_minutes, false)
    error_message = "ecs.idle_minutes must be a whole number from 15, so that a long answer ends before its copy does, to 1,440."
  }

  validation {
    condition     = var.ecs == null || try(var.ecs.answer_seconds > 0 && var.ecs.answer_seconds <= 900, false)
    error_message = "ecs.answer_seconds must be above 0, and at most the 900 for which the load balancer waits."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the instances' disks, and on Lambda the function's environment. Default: keys of AWS's."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }

  validation {
    condition     = var.kms_key_arn == null || var.kind != "sagemaker" || can(regex("^ml\\.(p2|p3)\\.", var.sagemaker.instance_type))
    error_message = "kms_key_arn can't be set for this instance type: SageMaker takes no key for types with disks of their own, whose hardware encrypts them."
  }
}

variable "path" {
  description = "IAM path of the roles, for accounts whose policies restrict roles by path; changing it replaces the roles."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-)+-~]{1,510}/)?$", var.path))
    error_message = "path must begin and end with a slash, as in /teams/search/, with at most 512 characters, no spaces and no *, as IAM requires."
  }
}

variable "permissions_boundary" {
  description = "ARN of the roles' permissions boundary, for accounts that require one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/[^*\\s]+$", var.permissions_boundary))
    error_message = "permissions_boundary must be the ARN of a managed policy (arn:aws:iam::ACCOUNT:policy/NAME)."
  }
}

variable "log_retention_days" {
  description = "Retention of the logs in days."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of the retention periods of CloudWatch Logs: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653; 0 (never expire) is not allowed."
  }
}

variable "log_kms_key_arn" {
  description = "ARN of the KMS key that encrypts the log group; its policy must allow CloudWatch Logs. Default: CloudWatch's own encryption."
  type        = string
  default     = null

  validation {
    condition     = var.log_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.log_kms_key_arn))
    error_message = "log_kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }
}

variable "tags" {
  description = "Tags for every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 47 && !contains(keys(var.tags), "lambda-llm")
    error_message = "tags must not have the key lambda-llm, by which policies know a GPU plane, and no more than 47 others, as AWS accepts 50 for a resource and this module adds three."
  }

  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$", key)) && can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,256}$", value)) && !startswith(lower(key), "aws:")])
    error_message = "Each of tags must be one that AWS accepts: a key of 1 to 128 and a value of at most 256 letters, digits, spaces or any of _ . : / = + - @, and no key that begins with aws:."
  }
}
