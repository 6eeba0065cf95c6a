"""A conversation's next turn finds the keys and values of the one before."""

from typing import Final

from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment
from lambda_llm.cli.probes.stream import answered, next_turn, question

TOKENS: Final = 4
TEXT: Final = "The river runs through seven towns, and in each of them somebody counts the boats that pass. "


def _ask(deployment: Deployment) -> Finding:
    first = question(TEXT * 2)
    before = (deployment.ask_health().get("environment") or {}).get("id")
    one = answered(deployment, first, max_tokens=TOKENS)
    two = answered(deployment, *next_turn(first, one), max_tokens=TOKENS)
    after = (deployment.ask_health().get("environment") or {}).get("id")
    # The beginning that every prompt shares is not what the first turn left.
    shared, found = one.cached_tokens or 0, two.cached_tokens or 0
    figures = {
        "first_turn_cached_tokens": shared,
        "second_turn_cached_tokens": found,
        "second_turn_prompt_tokens": two.prompt_tokens,
        "first_turn_first_token_seconds": one.first_token_seconds,
        "second_turn_first_token_seconds": two.first_token_seconds,
    }
    said = f"{found:,} of the second turn's {two.prompt_tokens:,} tokens were in the KV cache"
    if found > shared:
        return ok(f"{said}, and {shared:,} of the first's.", **figures)
    if before != after:
        return unknown("Another environment answered meanwhile, which has no part of the conversation.", **figures)
    return wrong(f"{said}, no more than of the first's: prefixes are not reused.", **figures)


PROBE = Probe("second_turn", "Is a conversation's prefix reused?", _ask, requests=4, tokens=2 * TOKENS)
