"""Random requests, valid and invalid, for as long as wanted: the server must answer all of them, and grow by none.

    python -m scripts.soak --minutes 60

A seed makes the requests the same in each run; how they meet each other depends on the machine. Memory, descriptors and
threads of the server are sampled all along. They are flat if the last fifth of the time needs no more than the second.
"""

import argparse
import asyncio
import gzip
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import psutil

from scripts.demo import MODEL

CLIENTS: Final = 6
ANSWER_SECONDS: Final = 120
SAMPLE_SECONDS: Final = 0.5
GROWTH: Final = 0.1
"""Of the memory, which C's allocator leaves in holes as threads come and sizes vary; Python's objects stay the same."""
WORDS: Final = ("memory", "Lambda", "0", "<|eot_id|>", "ä", "\u2028", "中文", "\x00", "{}", '"', "😀", "the", " ", "\n")


@dataclass
class Sample:
    """The server's process at one moment.

    Attributes:
        rss: resident memory in bytes.
        descriptors: open ones.
        threads: of the process.
    """

    rss: int
    descriptors: int
    threads: int


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        seconds: that it took.
        statuses: how often each HTTP status was answered; 0: the client left before there was one.
        failures: answers that no request may get, with the request.
        samples: of the server, in order.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def grown(self) -> list[str]:
        """What the last fifth of the time needed more of than the second, each in a sentence."""
        fifth = len(self.samples) // 5
        early, late = self.samples[fifth : 2 * fifth], self.samples[-fifth:]
        grown = []
        for name, slack in (("rss", GROWTH), ("descriptors", 0.0), ("threads", 0.0)):
            before, after = (statistics.median(getattr(each, name) for each in part) for part in (early, late))
            # Descriptors and threads come and go with connections and planning.
            if after > before * (1 + slack) + (2 if slack == 0 else 0):
                grown.append(f"{name} grew from {before:,.0f} to {after:,.0f}")
        return grown


# -- requests ---------------------------------------------------------------------------------------

Maker = Callable[[random.Random], tuple[str, dict[str, Any]]]


def _chance(dice: random.Random, percent: int) -> bool:
    return dice.randrange(100) < percent


def _text(dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS, k=dice.choice((0, 1, 3, 10, 40)))) or "Hi"


def _sampling(dice: random.Random) -> dict[str, Any]:
    options = {
        "temperature": dice.choice((0, 1e-40, 0.7, 2)),
        "top_p": dice.choice((0, 0.5, 1)),
        "seed": dice.randrange(9),
        "stop": dice.choice(("a", ["b", "c"], None)),
        "n": dice.choice((1, 2)),
        "stream": _chance(dice, 50),
        "presence_penalty": dice.choice((0, 2)),
    }
    return {name: options[name] for name in dice.sample(sorted(options), k=dice.randrange(len(options)))}


def _chat(dice: random.Random) -> tuple[str, dict[str, Any]]:
    messages = [{"role": dice.choice(("user", "system", "assistant")), "content": _text(dice)} for _ in range(3)]
    body: dict[str, Any] = {"messages": [*messages, {"role": "user", "content": _text(dice)}], "max_tokens": 12}
    if _chance(dice, 30):
        body["response_format"] = {"type": "json_object", "schema": dice.choice(_SCHEMAS)}
    if _chance(dice, 30):
        body["tools"] = [{"type": "function", "function": {"name": "f", "parameters": dice.choice(_SCHEMAS)}}]
        body["tool_choice"] = dice.choice(("auto", "required", "none"))
    if _chance(dice, 20):
        body |= {"logprobs": True, "top_logprobs": 5}
    return "/v1/chat/completions", body | _sampling(dice)


def _completion(dice: random.Random) -> tuple[str, dict[str, Any]]:
    prompt = dice.choice((_text(dice), [1, 2, 3], [_text(dice), _text(dice)]))
    return "/v1/completions", {"prompt": prompt, "max_tokens": 8, "echo": _chance(dice, 50)} | _sampling(dice)


def _response(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"input": _text(dice), "max_output_tokens": 8, "stream": _chance(dice, 50)}


def _message(dice: random.Random) -> tuple[str, dict[str, Any]]:
    messages = [{"role": "user", "content": [{"type": "text", "text": _text(dice)}]}]
    return "/v1/messages", {"messages": messages, "max_tokens": 8, "stream": _chance(dice, 50)}


def _ollama(dice: random.Random) -> tuple[str, dict[str, Any]]:
    options = {"num_predict": 8, "temperature": dice.choice((0, 1))}
    body = {"messages": [{"role": "user", "content": _text(dice)}], "options": options}
    return "/api/chat", body | {"stream": _chance(dice, 50)}


def _other(dice: random.Random) -> tuple[str, dict[str, Any]]:
    return dice.choice(
        (
            ("/tokenize", {"content": _text(dice), "with_pieces": True}),
            ("/detokenize", {"tokens": [dice.randrange(4000) for _ in range(20)]}),
            ("/v1/embeddings", {"input": _text(dice)}),
            ("/v1/rerank", {"query": _text(dice), "documents": [_text(dice)]}),
            ("/v1/responses/input_tokens", {"input": _text(dice)}),
            ("/nothing", {}),
        )
    )


_MAKERS: Final[tuple[Maker, ...]] = (_chat, _chat, _chat, _completion, _response, _message, _ollama, _other)
_SCHEMAS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
    {"type": "object"},
    {"enum": ["x", "y"]},
    {"not": {}},
    {"$ref": "#"},
    {"type": "string", "pattern": "^[a-z]{3}$"},
)


def _spoiled(dice: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    """The body with one field gone or of any value."""
    name = dice.choice([*body, "unheard_of"])
    value: Any = dice.choice((None, -1, 10**400, 1e308, "", [], {}, [[]] * 3, "x" * 1000, True, _text(dice)))
    return {key: each for key, each in body.items() if key != name} | ({} if _chance(dice, 30) else {name: value})


def _content(dice: random.Random, body: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content, headers = json.dumps(body).encode(), {"content-type": "application/json"}
    match dice.randrange(12):
        case 0:
            return content[: dice.randrange(len(content) + 1)], headers
        case 1:
            return bytes(dice.randrange(256) for _ in range(50)), headers
        case 2:
            return gzip.compress(content), headers | {"content-encoding": dice.choice(("gzip", "br", "deflate"))}
        case 3:
            return content, {"content-type": "text/plain", "x-amzn-lambda-context": _text(dice).encode().hex()}
    return content, headers


_REQUEST: Final = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"

# -- the run ----------------------------------------------------------------------------------------


async def _client(number: int, seed: int, url: str, until: float, outcome: Outcome) -> None:
    dice = random.Random(f"{seed}-{number}")  # noqa: S311 - not for secrets
    async with httpx2.AsyncClient(base_url=url, timeout=ANSWER_SECONDS) as http:
        while time.monotonic() < until:
            path, body = dice.choice(_MAKERS)(dice)
            body = _spoiled(dice, body) if _chance(dice, 30) else body
            if _chance(dice, 2):
                await _half_open(dice, url)
                continue
            await _ask(dice, http, path, *_content(dice, body), outcome)


async def _ask(
    dice: random.Random, http: httpx2.AsyncClient, path: str, content: bytes, headers: dict[str, str], outcome: Outcome
) -> None:
    leaves_after = dice.choice((None, None, None, 0, 1, 3))
    asked = f"POST {path} {content[:300]!r}"
    try:
        async with http.stream("POST", path, content=content, headers=headers) as answer:
            outcome.statuses[answer.status_code] += 1
            if answer.status_code >= 500:  # noqa: PLR2004 - HTTP's classes
                outcome.failures.append(f"{answer.status_code} to {asked}: {(await answer.aread())[:300]!r}")
                return
            parts = 0
            async for part in answer.aiter_text():
                if '"code":"internal_error"' in part or '"type": "api_error"' in part:
                    outcome.failures.append(f"an error in the stream to {asked}: {part[:300]}")
                parts += 1
                if leaves_after is not None and parts > leaves_after:
                    return
    except httpx2.HTTPError as error:
        outcome.failures.append(f"{error!r} to {asked}")


async def _half_open(dice: random.Random, url: str) -> None:
    """Connect, send the beginning of a request, and leave."""
    parts = urlsplit(url)
    with suppress(OSError):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"[: dice.randrange(70)]
        )
        await asyncio.sleep(dice.random())
        writer.close()
        await writer.wait_closed()


async def _watch(process: psutil.Process, until: float, outcome: Outcome) -> None:
    while time.monotonic() < until:
        with process.oneshot():
            outcome.samples.append(Sample(process.memory_info().rss, process.num_fds(), process.num_threads()))
        await asyncio.sleep(SAMPLE_SECONDS)


async def _run(url: str, pid: int, seed: int, seconds: float) -> Outcome:
    outcome, began = Outcome(), time.monotonic()
    until = began + seconds
    clients = [_client(number, seed, url, until, outcome) for number in range(CLIENTS)]
    await asyncio.gather(_watch(psutil.Process(pid), until, outcome), *clients)
    outcome.seconds = time.monotonic() - began
    return outcome


def soak(seconds: float, seed: int, model: Path = MODEL) -> Outcome:
    """Serve a model in a process of its own, and ask it at random.

    Args:
        seconds: for how long.
        seed: of the requests.
        model: a GGUF file with a chat template.
    """
    command = [sys.executable, "-m", "lambda_llm.cli", "serve", str(model), "--port", "0", "--threads", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout  # noqa: S101 - it is a pipe
            url = json.loads(server.stdout.readline())["url"].removesuffix("/v1")
            return asyncio.run(_run(url, server.pid, seed, seconds))
        finally:
            server.terminate()
            server.wait(60)


def main() -> int:
    """Soak, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object, with every sample")
    given = parser.parse_args()
    outcome = soak(given.minutes * 60, given.seed)
    grown = outcome.grown()
    if given.json:
        print(json.dumps(asdict(outcome) | {"grown": grown}))
    else:
        first, last = outcome.samples[len(outcome.samples) // 5], outcome.samples[-1]
        print(f"{outcome.statuses.total():,} requests in {outcome.seconds:,.0f} s; by status: {dict(outcome.statuses)}")
        for name in ("rss", "descriptors", "threads"):
            most = max(getattr(each, name) for each in outcome.samples)
            after, end = getattr(first, name), getattr(last, name)
            print(f"{name}: {after:,} after a fifth, {end:,} at the end, {most:,} at most")
        print("\n".join([*outcome.failures[:20], *grown]) or "flat, and every answer is one that a request may get")
    return 1 if outcome.failures or grown else 0


if __name__ == "__main__":
    sys.exit(main())
