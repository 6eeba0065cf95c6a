"""What `lambda-llm bench` measures of a deployment, as JSON that this package writes and reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

from lambda_llm.errors import LambdaLLMError

SCHEMA: Final = "lambda-llm-bench/1"
"""Name and version of the format; another number means other fields."""


class MeasuredError(LambdaLLMError):
    """A file is no result of `lambda-llm bench`, or one of another version."""


@dataclass(frozen=True)
class Quantity:
    """Several measurements of one quantity.

    Attributes:
        n: how many.
        median: of them.
        spread: half of their range, as a share of the median.
    """

    n: int
    median: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Summarize; None: there are none."""
        if not values:
            return None
        middle = median(values)
        return cls(len(values), middle, (max(values) - min(values)) / 2 / middle if middle else 0.0)


@dataclass(frozen=True)
class Prompt:
    """Prompts of one length.

    Attributes:
        prompt_tokens: that were evaluated, at the median.
        prefill_tokens_per_second: tokens evaluated until the first one of the answer.
        first_token_seconds: from the request to the first token, for a prompt that no cache knows.
        cached_first_token_seconds: the same for the next turn, which finds the prompt in the cache.
        cached_to_new: ratio of the two, by the pairs that were measured one after the other.
    """

    prompt_tokens: int
    prefill_tokens_per_second: Quantity
    first_token_seconds: Quantity
    cached_first_token_seconds: Quantity | None
    cached_to_new: Quantity | None


@dataclass(frozen=True)
class Measured:
    """A deployment's speed.

    Attributes:
        date: ISO 8601, UTC.
        lambda_llm: version of the package that measured.
        model: the model's id.
        url_kind: `function_url`, `custom_domain` or `server`.
        region: of the function; None: it is none.
        memory_mb: of the function; None: it is none, or does not tell.
        backend: llama.cpp's CPU backend.
        threads: that the server computes with.
        context: in tokens.
        clock: whose time `prefill_tokens_per_second` and the decode are by: `server` or `client`.
        prompts: by length.
        decode_tokens_per_second: tokens behind the first one; None: the answers were too short to tell.
        failures: a sentence for each request that was not answered, and for each answer that was of no use.
    """

    date: str
    lambda_llm: str
    model: str
    url_kind: str
    region: str | None
    memory_mb: int | None
    backend: str
    threads: int
    context: int
    clock: str
    prompts: tuple[Prompt, ...]
    decode_tokens_per_second: Quantity | None
    failures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The result, with the name of its format."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """The result that `as_json` gave.

        Raises:
            MeasuredError: it is another thing, or of another version.
        """
        if content.get("schema") != SCHEMA:
            raise MeasuredError(
                f"The measurement has the schema {content.get('schema')!r} instead of {SCHEMA!r}: measure again with "
                "`lambda-llm bench URL --json`."
            )
        try:
            fields = {name: value for name, value in content.items() if name != "schema"}
            fields["prompts"] = tuple(
                Prompt(**{name: _quantity(value) for name, value in prompt.items()}) for prompt in fields["prompts"]
            )
            fields["failures"] = tuple(fields["failures"])
            fields["decode_tokens_per_second"] = _quantity(fields["decode_tokens_per_second"])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise MeasuredError(
                f"The measurement is not complete ({error}): measure again with `lambda-llm bench URL --json`."
            ) from error


def read(path: Path) -> Measured:
    """The result in a file.

    Raises:
        MeasuredError: it can't be read, or is another thing.
    """
    return Measured.read(_content(path, "bench"))


def read_restore_seconds(path: Path) -> float:
    """How much later the first token comes from a restored environment than from a warm one.

    Args:
        path: of the result of `lambda-llm verify URL --json`, whose probe `fresh_environment` measured both.

    Raises:
        MeasuredError: it can't be read, is another thing, or the probe could not measure it.
    """
    content = _content(path, "verify")
    try:
        (figures,) = (each["figures"] for each in content["probes"] if each["name"] == "fresh_environment")
        return max(0.0, float(figures["first_token_seconds"]) - float(figures["warm_first_token_seconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise MeasuredError(
            f"{path} has no time of a restored environment: run `lambda-llm verify URL --json` against a function, "
            "whose probe fresh_environment measures it."
        ) from error


def _content(path: Path, command: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise MeasuredError(
            f"{path} can't be read ({reason}): give a file of `lambda-llm {command} URL --json`."
        ) from error
    if not isinstance(content, dict):
        raise MeasuredError(f"{path} is no measurement: give a file of `lambda-llm {command} URL --json`.")
    return content


def _quantity(value: Any) -> Any:
    return Quantity(**value) if isinstance(value, dict) else value
