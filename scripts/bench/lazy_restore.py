"""Restore one warmed-up process many times, from memory that is loaded on demand, and print the times.

`restore.py` is the command line that starts this. Each restore is a fork: all start with the same memory.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final

from lambda_llm.engine.errors import EngineError
from lambda_llm.engine.generate import GenerationRequest
from lambda_llm.engine.sampling import Sampling
from lambda_llm.engine.weight_order import Region, weights_in_order
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.options import Weights
from lambda_llm.inference.init import init
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import SnapshotHooks
from lambda_llm.inference.snapshot.memory import resident
from lambda_llm.inference.snapshot.prefetch import THREADS, Prefetch, other_memory
from scripts.bench.lazy_memory import lazily_loaded

PROMPT: Final = "How many boats pass through the seven towns, and who counts them?"
LIMIT_SECONDS: Final = 120
"""For one restore: if the process that serves the memory died, it would wait forever."""


class Way(StrEnum):
    """Who reads the weights after a restore."""

    ON_DEMAND = "on demand"
    ONE_THREAD = "one thread, in order"
    BY_ADDRESS = f"{THREADS} threads, by address"
    OURS = f"{THREADS} threads, in order"


def run(
    model: str,
    threads: int,
    latencies: list[float],
    bandwidths: list[float],
    repeats: int,
    *,
    ways: Sequence[str] = tuple(Way),
    everything: bool = False,
) -> None:
    """Print one JSON object per line: in each round the warm run, then each restore.

    Args:
        model: a GGUF file.
        threads: to compute with.
        latencies: seconds from page fault to loaded chunk.
        bandwidths: bytes per second.
        repeats: rounds; each measures every combination once.
        ways: of `Way`.
        everything: whether the rest of the resident memory, which is not dropped, passes the link before the first
            chunk of the weights.

    Raises:
        EngineError: a restored process did not end, or its answer differs from the warm one's.
    """
    # Only private memory can be dropped, so the weights are copied out of the memory file.
    engine = init(Settings.load(model=model, threads=threads, weights=Weights.COPIED)).engine
    hooks = SnapshotHooks(engine.context)
    hooks.before_snapshot()
    prompt = engine.template.tokens([{"role": "user", "content": PROMPT}])
    weights = weights_in_order(engine.context)

    def answer() -> str:
        return "".join(engine.generate(GenerationRequest(prompt, Sampling(temperature=0), max_tokens=1)))

    def warm() -> dict[str, Any]:
        began = time.perf_counter()
        text = answer()
        return {"warm": time.perf_counter() - began, "text": text}

    def restored(way: Way, latency: float, bandwidth: float) -> dict[str, Any]:
        ahead = resident() - sum(size for _, size in weights) if everything else 0
        with lazily_loaded(weights, latency, bandwidth, ahead=ahead) as loads:
            began = time.perf_counter()
            reading = _read(way, hooks, weights)
            text = answer()
            took, loaded = time.perf_counter() - began, loads.bytes
            if reading:
                reading.stop()
        settings = {"way": way, "latency": latency, "bandwidth": bandwidth}
        return settings | {"first_token": took, "bytes": ahead + loaded, "dropped": loads.size, "text": text}

    for _ in range(repeats):
        expected = _in_a_fork(warm)
        _print(expected)
        for latency in latencies:
            for bandwidth in bandwidths:
                for way in map(Way, ways):
                    found = _in_a_fork(partial(restored, way, latency, bandwidth))
                    if found["text"] != expected["text"]:
                        raise EngineError(f"The restored model ({way}) gives another answer than the warm one.")
                    _print(found)


def _read(way: Way, hooks: SnapshotHooks, weights: Sequence[Region]) -> Prefetch | None:
    """Start the prefetch of the weights: as the function does after a restore, or a variant to compare."""
    match way:
        case Way.ON_DEMAND:
            return None
        case Way.ONE_THREAD:
            return Prefetch(weights, other_memory(weights), threads=1)
        case Way.BY_ADDRESS:
            return Prefetch(sorted(weights), other_memory(weights))
        case Way.OURS:
            hooks.after_restore()
            return hooks.prefetch


def _in_a_fork(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `measure` returns in a fork of this process.

    Raises:
        EngineError: it failed, or did not end.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(LIMIT_SECONDS)  # ends the process even if its threads are blocked
            os.write(send, json.dumps(measure()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)
    os.close(send)
    with os.fdopen(receive, "rb") as result:
        text = result.read()
    if status := os.waitpid(child, 0)[1]:
        ended = os.waitstatus_to_exitcode(status) == -signal.SIGALRM
        raise EngineError(f"A restored process {f'did not end within {LIMIT_SECONDS} s' if ended else 'failed'}.")
    found: dict[str, Any] = json.loads(text)
    return found


def _print(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    try:
        run(**json.loads(sys.argv[1]))
    except LambdaLLMError as error:
        sys.exit(str(error))
