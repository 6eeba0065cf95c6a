"""A request's spans: what the model did for it, and in it the queue, the prefill and the decode of each generation.

Recorded when the request has ended, from times that were taken anyway: while tokens are computed, spans cost nothing.

Source of the names: https://github.com/open-telemetry/semantic-conventions-genai
"""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lambda_llm.engine.generate import Generation
from lambda_llm.telemetry import spans
from lambda_llm.telemetry.emf import Value
from lambda_llm.telemetry.genai import OPERATIONS, OURS

if TYPE_CHECKING:
    from lambda_llm.telemetry.span import Value as Attribute


def record_request(
    generations: Sequence[Generation], model: str, path: str, seconds: float, values: Mapping[str, Value]
) -> None:
    """Record the spans of a request that ends now, if it was one to the model.

    Args:
        generations: of it, all of which have ended.
        model: its name.
        path: of the request.
        seconds: since its arrival.
        values: of its line.
    """
    operation = OPERATIONS.get(path)
    if not spans.enabled() or operation is None:
        return
    now, since = time.time(), time.time() - time.perf_counter()
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": OURS,
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.request.stream": bool(values.get("stream")),
        "gen_ai.usage.input_tokens": values.get("InputTokens"),
        "gen_ai.usage.output_tokens": values.get("OutputTokens"),
        "gen_ai.usage.cache_read.input_tokens": values.get("CachedTokens"),
        "gen_ai.response.finish_reasons": [
            str(each.stats.finish_reason or "error") for each in generations if each.stats.started
        ]
        or None,
        "gen_ai.server.time_to_first_token": values.get("FirstTokenSeconds"),
    }
    with spans.span(f"{operation} {model}", start=now - seconds, attributes=attributes) as span:
        if values.get("Errors"):
            span.fail(str(values.get("error")))
        for generation in generations:
            stats = generation.stats
            if not stats.started:
                continue
            began = stats.started + since
            first = began + stats.seconds_to_first_token
            if stats.queued_seconds:
                spans.record("queue", began - stats.queued_seconds, began)
            spans.record(
                "prefill",
                began,
                first,
                attributes={
                    "gen_ai.usage.input_tokens": stats.prompt_tokens,
                    "gen_ai.usage.cache_read.input_tokens": stats.cached_tokens,
                },
            )
            if stats.completion_tokens:
                spans.record(
                    "decode",
                    first,
                    first + stats.decode_seconds,
                    attributes={"gen_ai.usage.output_tokens": stats.completion_tokens},
                )
