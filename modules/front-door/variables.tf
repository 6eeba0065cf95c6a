variable "name" {
  description = "Name of the API or distribution; the authorizer (`-authorizer`), the table (`-keys`) and the log groups are named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,53}$", var.name))
    error_message = "name must be 1 to 53 letters, digits, hyphens or underscores, so that the function NAME-authorizer has a valid name too."
  }
}

variable "kind" {
  description = "`rest`: an API Gateway REST API for clients that send a key or a JWT as `Authorization: Bearer …`. `cloudfront`: a distribution for clients that send `x-amz-content-sha256`, as lambda-llm's own client and proxy do."
  type        = string
  default     = "rest"
  nullable    = false

  validation {
    condition     = contains(["rest", "cloudfront"], var.kind)
    error_message = "kind must be rest (API Gateway, with keys) or cloudfront (a distribution in front of the Function URL)."
  }
}

variable "function" {
  description = "The function behind the door: the module inference as a whole (`function = module.inference`), or the ARN of an alias and, for `kind = \"cloudfront\"`, the Function URL of that alias."
  type = object({
    alias_arn = string
    url       = optional(string)
  })

  validation {
    condition     = can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]+:[a-zA-Z_-][a-zA-Z0-9_-]*$", var.function.alias_arn))
    error_message = "function.alias_arn must be the ARN of an alias (arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS): a version or $LATEST would not follow a deployment."
  }

  validation {
    condition     = var.kind != "cloudfront" || can(regex("^https://[a-z0-9]+\\.lambda-url\\.[a-z0-9-]+\\.on\\.aws(\\.com\\.cn)?/?$", var.function.url))
    error_message = "kind = \"cloudfront\" needs function.url, the Function URL of the alias (https://….lambda-url.REGION.on.aws/): set front_door = \"streaming\" in the module inference, or use kind = \"rest\"."
  }
}

variable "package" {
  description = "Zip of the authorizer, as `make package` builds it: lambda-llm-authorizer-arm64.zip, or lambda-llm-authorizer-jwt-arm64.zip with `jwt`. `path` of a local file, or `s3` of an uploaded one; `manifest` is the local path of its manifest (default: next to `path`). Required with `kind = \"rest\"`."
  type = object({
    path     = optional(string)
    manifest = optional(string)
    s3 = optional(object({
      bucket     = string
      key        = string
      version_id = optional(string)
    }))
  })
  default = null

  validation {
    condition     = (var.kind == "rest") == (var.package != null)
    error_message = "package is the zip of the authorizer: kind = \"rest\" needs it (`make package` builds it), and kind = \"cloudfront\" has no authorizer, so leave it out there."
  }
}

variable "streaming" {
  description = "Whether API Gateway streams answers, which the function must do too: the module inference with `front_door = \"streaming\"`. Set it to false for `front_door = \"buffered\"`."
  type        = bool
  default     = true
  nullable    = false
}

variable "timeout" {
  description = "How long API Gateway waits for an answer's end, in seconds. Default: 900 with `streaming`, else 29; buffered answers may take longer only where the account's quota was raised."
  type        = number
  default     = null

  validation {
    condition     = var.timeout == null || try(var.timeout >= 1 && var.timeout <= 900 && floor(var.timeout) == var.timeout, false)
    error_message = "timeout must be a whole number of seconds from 1 to 900, API Gateway's maximum for streamed answers."
  }
}

variable "plans" {
  description = "Usage plans by name, with the limits of each tenant in them: requests per second on average, how many more at once (`burst`), and `quota`, requests per `DAY`, `WEEK` or `MONTH`. A key or JWT names its plan and its tenant; those that are not listed here are refused, so without plans nobody gets in. API Gateway applies limits as targets, not as guarantees."
  type = map(object({
    requests_per_second = number
    burst               = number
    quota = optional(object({
      requests = number
      period   = optional(string, "DAY")
    }))
    tenants = set(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = var.kind != "cloudfront" || length(var.plans) == 0
    error_message = "kind = \"cloudfront\" knows no tenants: leave plans out, or set kind = \"rest\"."
  }

  validation {
    condition     = alltrue([for name in concat(keys(var.plans), flatten([for plan in var.plans : tolist(plan.tenants)])) : can(regex("^[a-z0-9][a-z0-9_-]{0,62}$", name))])
    error_message = "The names of plans and tenants must begin with a lower-case letter or digit and have at most 63 lower-case letters, digits, hyphens and underscores, as `lambda-llm keys create` wants them."
  }

  validation {
    condition     = alltrue([for plan in var.plans : plan.requests_per_second > 0 && plan.burst >= 1 && floor(plan.burst) == plan.burst])
    error_message = "A plan needs requests_per_second above 0 (0.1 is one in ten seconds), and a burst of at least 1, a whole number; to shut tenants out, leave them out of the plan."
  }

  validation {
    condition     = alltrue([for plan in var.plans : try(contains(["DAY", "WEEK", "MONTH"], plan.quota.period) && plan.quota.requests >= 1 && floor(plan.quota.requests) == plan.quota.requests, plan.quota == null)])
    error_message = "A plan's quota is a whole number of requests, at least 1, with the period DAY, WEEK or MONTH; leave quota out for none."
  }
}

variable "throttle" {
  description = "Limits of the whole API, whoever calls: they also bound what guessing keys costs, as each unknown key runs the authorizer."
  type = object({
    requests_per_second = number
    burst               = number
  })
  default  = { requests_per_second = 20, burst = 40 }
  nullable = false

  validation {
    condition     = var.throttle.requests_per_second > 0 && var.throttle.burst >= 1 && floor(var.throttle.burst) == var.throttle.burst
    error_message = "throttle needs requests_per_second above 0, and a burst of at least 1, a whole number."
  }
}

variable "jwt" {
  description = "Accept JWTs besides keys: their `issuer` and `audience`; where the issuer's keys are (`jwks_url`, default: found at the issuer); the claim with the tenant (`tenant_claim`, default `tenant`), and the plan: the claim with it (`plan_claim`), and one for tokens without such a claim (`plan`)."
  type = object({
    issuer       = string
    audience     = string
    jwks_url     = optional(string)
    tenant_claim = optional(string)
    plan_claim   = optional(string)
    plan         = optional(string)
  })
  default = null

  validation {
    condition     = var.kind != "cloudfront" || var.jwt == null
    error_message = "kind = \"cloudfront\" verifies no tokens: leave jwt out, or set kind = \"rest\"."
  }

  validation {
    condition     = var.jwt == null || alltrue([for url in compact([try(var.jwt.issuer, ""), try(var.jwt.jwks_url, "")]) : can(regex("^https://[^/\\s]+", url))]) && try(var.jwt.issuer, "x") != ""
    error_message = "jwt.issuer and jwt.jwks_url must be URLs that begin with https://, as the tokens' claim iss has it."
  }

  validation {
    condition     = var.jwt == null || try(trimspace(var.jwt.audience) != "", false)
    error_message = "jwt.audience is empty: set the value of the claim aud, else a token for any other application of the issuer would do."
  }

  validation {
    condition     = var.jwt == null || try(var.jwt.plan, null) != null || try(var.jwt.plan_claim, null) != null
    error_message = "The plan of a token is not known: set jwt.plan_claim (the claim that names it), jwt.plan (that of tokens without such a claim), or both."
  }

  validation {
    condition     = try(var.jwt.plan, null) == null || contains(keys(var.plans), coalesce(try(var.jwt.plan, null), "-"))
    error_message = "jwt.plan is none of plans, so every token would be refused: add it there."
  }
}

variable "keys_table" {
  description = "An existing table of keys, as another front door has it (its output `table_arn`), and the KMS key that encrypts it, if it is your own. Default: a table of this module's."
  type = object({
    arn         = string
    kms_key_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.kind != "cloudfront" || var.keys_table == null
    error_message = "kind = \"cloudfront\" knows no keys: leave keys_table out, or set kind = \"rest\"."
  }

  validation {
    condition     = var.keys_table == null || can(regex("^arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[a-zA-Z0-9_.-]{3,255}$", var.keys_table.arn))
    error_message = "keys_table.arn must be the ARN of a table (arn:aws:dynamodb:REGION:ACCOUNT:table/NAME): the authorizer's role is limited to it."
  }

  validation {
    condition     = var.keys_table == null || try(split(":", var.keys_table.arn)[3] == split(":", var.function.alias_arn)[3], false)
    error_message = "keys_table is in another region than the function, and the authorizer looks keys up in its own: use a table (or a replica of it) there."
  }
}

variable "deletion_protection" {
  description = "Whether the table of keys is protected against deletion: `terraform destroy` fails until it is turned off."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of the KMS key for the table of keys. Default: DynamoDB's own key. Of an existing table see `keys_table`."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias."
  }

  validation {
    condition     = var.kms_key_arn == null || try(split(":", var.kms_key_arn)[3] == split(":", var.function.alias_arn)[3], false)
    error_message = "The KMS key of kms_key_arn is in another region than the function, where the table of keys is: use a key, or a replica of it, there."
  }
}

variable "web_acl" {
  description = "WAFv2 web ACL, as the resource itself or its ARN: `{ arn = … }`. Of the API's region for `kind = \"rest\"`, a global one of us-east-1 for `kind = \"cloudfront\"`."
  type        = object({ arn = string })
  default     = null

  validation {
    condition     = var.web_acl == null || can(regex("^arn:[a-z-]+:wafv2:[a-z0-9-]+:[0-9]{12}:(regional|global)/webacl/[^/]+/[a-f0-9-]+$", var.web_acl.arn))
    error_message = "web_acl.arn must be the ARN of a WAFv2 web ACL (arn:aws:wafv2:REGION:ACCOUNT:regional/webacl/NAME/ID)."
  }

  validation {
    condition     = var.web_acl == null || var.kind != "rest" || try(startswith(split(":", var.web_acl.arn)[5], "regional/") && split(":", var.web_acl.arn)[3] == split(":", var.function.alias_arn)[3], false)
    error_message = "A REST API takes a regional web ACL of its own region: create one with scope REGIONAL where the function is."
  }

  validation {
    condition     = var.web_acl == null || var.kind != "cloudfront" || try(startswith(split(":", var.web_acl.arn)[5], "global/") && split(":", var.web_acl.arn)[3] == "us-east-1", false)
    error_message = "CloudFront takes a global web ACL: create one with scope CLOUDFRONT in us-east-1."
  }
}

variable "domain" {
  description = "A domain of your own: its name, the ARN of its ACM certificate (in the API's region for `kind = \"rest\"`, in us-east-1 for `kind = \"cloudfront\"`) and, if its DNS is in Route 53, the hosted zone, as the resource itself or by its id (`zone = { id = … }`). A REST API then has no other address."
  type = object({
    name            = string
    certificate_arn = string
    zone            = optional(object({ id = string }))
  })
  default = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.domain.name))
    error_message = "domain.name must be a host name in lower case, such as llm.example.com, without https:// and without a path."
  }

  validation {
    condition     = var.domain == null || can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/[a-f0-9-]+$", var.domain.certificate_arn))
    error_message = "domain.certificate_arn must be the ARN of an ACM certificate (arn:aws:acm:REGION:ACCOUNT:certificate/ID)."
  }

  validation {
    condition     = var.domain == null || try(split(":", var.domain.certificate_arn)[3] == (var.kind == "cloudfront" ? "us-east-1" : split(":", var.function.alias_arn)[3]), false)
    error_message = "The certificate is in the wrong region: a REST API takes one of its own region, CloudFront one of us-east-1."
  }
}

variable "cloudfront" {
  description = "Of a distribution: who may view it by signed URLs or cookies (`trusted_key_groups`, ids of CloudFront key groups), how long it waits for the next bytes of an answer in seconds (`origin_read_timeout`; more than 60 needs a raised quota), the price class, and the domain name of a bucket for its access log (`log_bucket`)."
  type = object({
    trusted_key_groups  = optional(list(string), [])
    origin_read_timeout = optional(number, 60)
    price_class         = optional(string, "PriceClass_100")
    log_bucket          = optional(string)
  })
  default  = {}
  nullable = false

  # A distribution signs for whoever comes.
  validation {
    condition     = var.kind != "cloudfront" || length(var.cloudfront.trusted_key_groups) > 0 || var.web_acl != null
    error_message = "The distribution would be open to everyone, at your expense: set cloudfront.trusted_key_groups (signed URLs or cookies), or web_acl, a web ACL that blocks by default and lets only your callers in."
  }

  validation {
    condition     = var.cloudfront.origin_read_timeout >= 1 && var.cloudfront.origin_read_timeout <= 180 && floor(var.cloudfront.origin_read_timeout) == var.cloudfront.origin_read_timeout
    error_message = "cloudfront.origin_read_timeout must be a whole number of seconds from 1 to 180; more than 60 needs a raised quota."
  }

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.cloudfront.price_class)
    error_message = "cloudfront.price_class must be PriceClass_100, PriceClass_200 or PriceClass_All."
  }

  validation {
    condition     = var.cloudfront.log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\\.s3[a-z0-9.-]*\\.amazonaws\\.com(\\.cn)?$", var.cloudfront.log_bucket))
    error_message = "cloudfront.log_bucket must be the domain name of a bucket, such as my-logs.s3.amazonaws.com, whose ACLs are enabled."
  }
}

variable "access_logs" {
  description = "Whether API Gateway writes a line for each request: who, when, status and latency; no headers, no bodies. The account needs a role for it, once in each region: see `account_log_role`."
  type        = bool
  default     = true
  nullable    = false
}

variable "account_log_role" {
  description = "Whether to create the role by which API Gateway writes to CloudWatch, and to make it that of the account in this region: a setting of the whole account, so only one configuration may have it."
  type        = bool
  default     = false
  nullable    = false
}

variable "xray_tracing" {
  description = "Whether API Gateway sends traces to X-Ray."
  type        = bool
  default     = false
  nullable    = false
}

variable "path" {
  description = "IAM path of the roles, for accounts whose policies restrict roles by path; changing it replaces them."
  type        = string
  default     = "/"
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the roles, for accounts that require one."
  type        = string
  default     = null
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
  description = "ARN of the KMS key for the log groups; its key policy must allow CloudWatch Logs to use it. Default: CloudWatch's own encryption."
  type        = string
  default     = null
}

variable "log_level" {
  description = "Level from which on lines of the log are written: `TRACE`, `DEBUG` or `INFO`. Above it there would be no figures."
  type        = string
  default     = "INFO"
  nullable    = false
}

variable "tags" {
  description = "Tags for every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false
}
