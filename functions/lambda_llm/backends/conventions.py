"""What a request to a model is called in spans, by the semantic conventions of generative AI.

Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from collections.abc import Mapping
from typing import Final

from lambda_llm.backends.contract import Request, Usage
from lambda_llm.telemetry.genai import OPERATIONS, OURS
from lambda_llm.telemetry.span import Value

PROVIDERS: Final[Mapping[str, str]] = {
    "openai_http": "openai",  # whose API it is, whoever the server is
    "converse": "aws.bedrock",
    "sagemaker": "aws.sagemaker",
    "sagemaker_async": "aws.sagemaker",
    "lambda_invoke": OURS,
}
"""`gen_ai.provider.name` by the kind of a backend that is not ours; the conventions have the first two."""


def asked(request: Request, model: str, provider: str | None = None) -> dict[str, Value]:
    """What is known of a request before it is answered.

    Args:
        request: it.
        model: that is asked for.
        provider: of the model; None: not known yet.
    """
    return {
        "gen_ai.operation.name": OPERATIONS[request.operation.value],
        "gen_ai.request.model": model,
        "gen_ai.request.stream": request.stream or None,
        "gen_ai.provider.name": provider,
    }


def took(usage: Usage | None) -> dict[str, Value]:
    """What an answer took."""
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cached or None,
    }
