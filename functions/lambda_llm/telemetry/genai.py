"""Names of the semantic conventions of generative AI that follow from a request, for spans and metrics.

Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from collections.abc import Mapping
from typing import Final

OURS: Final = "lambda_llm"
"""`gen_ai.provider.name` of what our functions answer: the conventions have none for a model of one's own."""

OPERATIONS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
    "/api/chat": "chat",
    "/v1/completions": "text_completion",
    "/api/generate": "text_completion",
    "/v1/embeddings": "embeddings",
    "/api/embed": "embeddings",
    "/v1/rerank": "rerank",
}
"""`gen_ai.operation.name` by the path of a request; the conventions have none for the last one."""
