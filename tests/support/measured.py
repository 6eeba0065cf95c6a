"""A result of `lambda-llm bench`."""

from lambda_llm.cost.measured import Measured, Prompt, Quantity


def of(value: float) -> Quantity:
    return Quantity(3, value, 0.1)


def measured(*prompts: Prompt, decode: float) -> Measured:
    """Speeds of a function.

    Args:
        prompts: by length.
        decode: tokens a second.
    """
    return Measured(
        date="2026-11-26T22:00:00+00:00",
        lambda_llm="0.1.0",
        model="demo",
        url_kind="function_url",
        region="eu-central-1",
        memory_mb=10240,
        backend="armv8.6_1",
        threads=6,
        context=4096,
        clock="server",
        prompts=prompts,
        decode_tokens_per_second=of(decode),
    )


def prefill(tokens: int, speed: float) -> Prompt:
    """Prompts of one length, by the tokens a second that they are evaluated with."""
    return Prompt(tokens, of(speed), of(tokens / speed), None, None)
