# OpenAPI documents in front of inference functions and of others, with and without an authorizer.
resource "aws_lambda_function" "llm" {
  function_name = "llm"
  role          = "arn:aws:iam::123456789012:role/llm"
  filename      = "llm.zip"
  handler       = "llm.handle"
  runtime       = "python3.13"
  architectures = ["arm64"]
  memory_size   = 10240
  publish       = true

  snap_start {
    apply_on = "PublishedVersions"
  }

  tags = { "lambda-llm" = "inference", "lambda-llm:plane" = "inference", "lambda-llm:component" = "inference" }
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.llm.function_name
  function_version = aws_lambda_function.llm.version
}

resource "aws_lambda_function" "web" {
  function_name = "web"
  role          = "arn:aws:iam::123456789012:role/web"
  filename      = "web.zip"
  handler       = "web.handle"
  runtime       = "python3.12"
}

resource "aws_api_gateway_rest_api" "open" {
  name = "open"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          }
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "empty" {
  name = "empty"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : []
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "security" : [
      {
        "caller" : []
      }
    ],
    "components" : {
      "securitySchemes" : {
        "caller" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "custom",
          "x-amazon-apigateway-authorizer" : {
            "type" : "request",
            "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations",
            "authorizerResultTtlInSeconds" : 30
          }
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "optional" {
  name = "optional"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {},
            {
              "caller" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "caller" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "custom",
          "x-amazon-apigateway-authorizer" : {
            "type" : "request",
            "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations",
            "authorizerResultTtlInSeconds" : 30
          }
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "key_only" {
  name = "key_only"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "plan" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "plan" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "x-api-key"
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "undefined" {
  name = "undefined"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "caller" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "plan" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "x-api-key"
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "good" {
  name = "good"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "caller" : []
            },
            {
              "plan" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "caller" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "custom",
          "x-amazon-apigateway-authorizer" : {
            "type" : "request",
            "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations",
            "authorizerResultTtlInSeconds" : 30
          }
        },
        "plan" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "x-api-key"
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "good_top" {
  name = "good_top"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          }
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "security" : [
      {
        "caller" : []
      }
    ],
    "components" : {
      "securitySchemes" : {
        "caller" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "custom",
          "x-amazon-apigateway-authorizer" : {
            "type" : "request",
            "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations",
            "authorizerResultTtlInSeconds" : 0
          }
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "good_swagger" {
  name = "good_swagger"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "caller" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "securityDefinitions" : {
      "caller" : {
        "type" : "apiKey",
        "in" : "header",
        "name" : "Authorization",
        "x-amazon-apigateway-authtype" : "custom",
        "x-amazon-apigateway-authorizer" : {
          "type" : "request",
          "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations",
          "authorizerResultTtlInSeconds" : 30
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "good_iam" {
  name = "good_iam"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "sigv4" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "sigv4" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "awsSigv4"
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "remembers" {
  name = "remembers"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "caller" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "caller" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "custom",
          "x-amazon-apigateway-authorizer" : {
            "type" : "request",
            "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations"
          }
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "remembers_long" {
  name = "remembers_long"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "caller" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "caller" : {
          "type" : "apiKey",
          "in" : "header",
          "name" : "Authorization",
          "x-amazon-apigateway-authtype" : "custom",
          "x-amazon-apigateway-authorizer" : {
            "type" : "request",
            "authorizerUri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:keys:live/response-streaming-invocations",
            "authorizerResultTtlInSeconds" : 61
          }
        }
      }
    }
  })
}

resource "aws_api_gateway_rest_api" "web" {
  name = "web"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:web:live/response-streaming-invocations"
          }
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    }
  })
}

resource "aws_apigatewayv2_api" "http_open" {
  name          = "http_open"
  protocol_type = "HTTP"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          }
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    }
  })
}

resource "aws_apigatewayv2_api" "http_good" {
  name          = "http_good"
  protocol_type = "HTTP"
  body = jsonencode({
    "openapi" : "3.0.1",
    "paths" : {
      "/{proxy+}" : {
        "x-amazon-apigateway-any-method" : {
          "x-amazon-apigateway-integration" : {
            "type" : "aws_proxy",
            "httpMethod" : "POST",
            "uri" : "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/arn:aws:lambda:us-east-1:123456789012:function:llm:live/response-streaming-invocations"
          },
          "security" : [
            {
              "jwt" : []
            }
          ]
        }
      },
      "/free" : {
        "get" : {
          "x-amazon-apigateway-integration" : {
            "type" : "mock"
          }
        }
      }
    },
    "components" : {
      "securitySchemes" : {
        "jwt" : {
          "type" : "oauth2",
          "x-amazon-apigateway-authorizer" : {
            "type" : "jwt",
            "jwtConfiguration" : {
              "issuer" : "https://issuer.example.com",
              "audience" : [
                "llm"
              ]
            }
          }
        }
      }
    }
  })
}

# Names them all, so that this is about the rest alone.
resource "aws_lambda_function" "pruner" {
  function_name = "pruner"
  role          = "arn:aws:iam::123456789012:role/pruner"
  filename      = "pruner.zip"
  handler       = "pruner.handle"
  runtime       = "python3.13"

  environment {
    variables = { FUNCTION_NAMES = "llm" }
  }

  tags = { "lambda-llm" = "version-pruner", "lambda-llm:plane" = "inference", "lambda-llm:component" = "version-pruner" }
}
