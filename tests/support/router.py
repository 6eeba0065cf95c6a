"""A configuration of the router that can be used."""

from typing import Any


def written() -> dict[str, Any]:
    """Every kind of backend."""
    return {
        "version": 1,
        "backends": {
            "small": {
                "kind": "lambda_invoke",
                "place": "lambda",
                "region": "eu-central-1",
                "function": "arn:aws:lambda:eu-central-1:123456789012:function:small:live",
                "model": "demo",
                "context": 8192,
                "features": ["tools", "json_schema"],
                "operations": ["/v1/chat/completions", "/v1/embeddings"],
                "price": {"prefill": 200, "decode": 20},
            },
            "bedrock": {
                "kind": "converse",
                "place": "account",
                "region": "us-east-1",
                "model": "us.anthropic.claude-haiku-4-5",
                "context": 200_000,
                "guardrail": "abc123:1",
                "service_tier": "flex",
                "price": {"input": 1, "output": 5},
            },
            "gpu": {
                "kind": "sagemaker",
                "place": "account",
                "region": "eu-central-1",
                "endpoint": "gpu",
                "component": "llama",
                "model": "llama",
                "context": 32_768,
                "price": {"hourly": 1.13, "prefill": 20_000, "decode": 1_000},
            },
            "queued": {
                "kind": "sagemaker_async",
                "place": "account",
                "region": "eu-central-1",
                "endpoint": "queued",
                "model": "llama",
                "inputs": "s3://bucket/inputs/",
                "context": 32_768,
                "price": {"hourly": 1.13, "prefill": 20_000, "decode": 1_000},
            },
            "elsewhere": {
                "kind": "openai_http",
                "place": "anywhere",
                "url": "https://api.example.com/v1",
                "model": "large",
                "auth": {"kind": "bearer", "secret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf"},
                "context": 128_000,
                "price": {"input": 0.1, "output": 0.2},
            },
        },
        "models": {
            "chat": {"backends": ["small", "bedrock"], "prefer": "cost", "max_tokens": 1000},
            "large": {"backends": ["gpu", "elsewhere"]},
        },
        "tenants": {
            "acme": {"models": ["chat"], "place": "lambda", "minute": {"tokens": 1000}, "month": {"dollars": 20}},
            "*": {"models": ["*"]},
        },
    }
