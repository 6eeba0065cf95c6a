"""A simulated day of a stack with every kind of function: lines as the functions write them, and AWS's own metrics.

The traffic is invented: a quiet night, a morning and an afternoon peak. The lines are made by `telemetry.emf`, so that
a name that is none of `telemetry.lines` is refused.
"""

import math
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from lambda_llm.cost.prices import invocation
from lambda_llm.telemetry import emf, lines
from lambda_llm.telemetry.context import correlated
from lambda_llm.telemetry.lines import Line
from scripts.dashboard.evaluate import Account
from scripts.dashboard.metrics import Metrics
from scripts.dashboard.module import FUNCTIONS, INDEX, MACHINE, MODEL, log_group

MIDNIGHT: Final = 1_780_272_000
"""1 June 2026, UTC."""

DAY: Final = 86_400
MINUTE: Final = 60
QUOTA: Final = 1_000
"""Concurrent executions of an account."""

_SEED: Final = 19
_TENANTS: Final = ("acme", "globex", "initech")
_SHARES: Final = (6, 3, 1)
_BUDGET: Final = 40.0
"""Dollars a day of each tenant."""

_MEMORY: Final[Mapping[str, Any]] = {
    "weights_bytes": 770_000_000,
    "kv_cache_bytes": 268_000_000,
    "compute_bytes": 120_000_000,
    "prefix_bytes": 16_500_000,
    "resident_bytes": 1_450_000_000,
}
_CPUS: Final = (("Graviton2", "armv8.2_1"), ("Graviton3", "armv8.6_2"))
_VERSION: Final = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"


@dataclass(frozen=True)
class _Asked:
    """A request, and what will become of it: times in seconds, lengths in tokens."""

    at: float
    tenant: str
    failed: bool
    prompt: int
    cached: int
    answer: int
    wait: float
    first: float
    rate: float


class Day:
    """The day, as it is written down: `lines` by function, and `metrics` of AWS itself.

    Args:
        trouble: whether everything that can go wrong goes wrong, so that each alarm has a reason.
        step: minutes from one with requests to the next; more is a day of fewer lines.
    """

    def __init__(self, *, trouble: bool = False, step: int = 1) -> None:
        self.lines: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.metrics = Metrics()
        self._trouble = trouble
        self._random = random.Random(_SEED)  # noqa: S311 - traffic, no secret
        self._spent = dict.fromkeys(_TENANTS, 0.0)
        self._requests = 0
        self._inits()
        for minute in range(0, DAY // MINUTE, step):
            self._minute(MIDNIGHT + minute * MINUTE)
        self._agents(max(20, 120 // step))
        self._batch()
        self._pruner()
        self._states()

    def account(self, written: Mapping[str, list[dict[str, Any]]] | None = None) -> Account:
        """The day as an account's metrics and logs.

        Args:
            written: lines by function, in place of the day's own.
        """
        found = dict(self.lines) if written is None else written
        metrics = Metrics(self.metrics)
        for each in found.values():
            metrics.take(each)
        groups = {log_group(name): found.get(name, []) for name in [*FUNCTIONS.values(), INDEX]}
        return Account(metrics, groups, {"ConcurrentExecutions": QUOTA})

    def _write(self, kind: Line, at: float, *, function: str = "", version: str = "7", **values: emf.Value) -> None:
        name = function or FUNCTIONS[kind.service]
        with _as(name, version):
            self.lines[name].append(emf.line(kind, at, **values))

    def _minute(self, at: int) -> None:
        load = _traffic((at - MIDNIGHT) / DAY)
        number = int(load + self._random.random())
        for _ in range(number):
            self._request(at + self._random.random() * MINUTE, load)
        busy = min(20, math.ceil(load * 1.6)) if not self._trouble else 20
        refused = 3 if load > 8 and self._random.random() < 0.02 else 0  # noqa: PLR2004 - at the peak
        for function in [*FUNCTIONS.values(), INDEX]:
            mine = {"FunctionName": function}
            throttled = 12 if self._trouble else refused if function == FUNCTIONS["inference"] else 0
            self.metrics.put("AWS/Lambda", "Throttles", mine, at, throttled)
            self.metrics.put("AWS/Lambda", "Errors", mine, at, int(self._trouble))
        self.metrics.put("AWS/Lambda", "ConcurrentExecutions", {"FunctionName": FUNCTIONS["inference"]}, at, busy)
        self.metrics.put("AWS/Lambda", "ConcurrentExecutions", {}, at, busy + int(load * 2))
        self.metrics.put("AWS/Lambda", "ClaimedAccountConcurrency", {}, at, 200 + int(load * 2))

    def _request(self, at: float, load: float) -> None:
        """One through the router: most to the model of our own, some to Bedrock."""
        self._requests += 1
        tenant = self._random.choices(_TENANTS, _SHARES)[0]
        ours = self._random.random() < 0.85  # noqa: PLR2004 - a share
        failed = self._requests % (3 if self._trouble else 150) == 2  # noqa: PLR2004 - one of as many
        fell = ours and not failed and self._random.random() < 0.02 + load / 400
        prompt = int(self._random.lognormvariate(6.2, 0.7)) + 20
        cached = int(prompt * self._random.betavariate(5, 2))
        answer = int(self._random.lognormvariate(4.9, 0.6)) + 4
        wait = self._random.expovariate(2 / (1 + load / 4))
        first = wait + (prompt - cached) / 190 + (12 if self._trouble else 0)
        rate = self._random.gauss(21, 2)
        with correlated(request_id=f"r{self._requests:06}", trace_id=f"{self._requests:032x}"):
            if ours and not fell:
                first = self._answer(_Asked(at, tenant, failed, prompt, cached, answer, wait, first, rate))
            else:
                first = self._random.lognormvariate(-0.7, 0.3)
            backend, kind = ("small", "lambda") if ours and not fell else ("bedrock", "bedrock")
            dollars = prompt * 2e-7 + answer * 8e-7 if kind == "bedrock" else prompt * 1.5e-7 + answer * 7.5e-6
            dollars *= 200 if self._trouble else 1
            self._spent[tenant] += dollars
            self._write(
                lines.ROUTER_REQUEST,
                at + first + answer / rate,
                Errors=int(failed),
                FirstTokenSeconds=None if failed else first + 0.01,
                InputTokens=prompt,
                CachedTokens=cached if kind == "lambda" else 0,
                OutputTokens=0 if failed else answer,
                Dollars=dollars,
                Fallbacks=int(fell),
                BudgetUsed=100 * self._spent[tenant] / _BUDGET,
                tenant=tenant,
                application="support",
                status=503 if failed else 200,
                error="overloaded" if failed else None,
                operation="/v1/chat/completions",
                stream=True,
                seconds=first + answer / rate,
                model="assistant",
                backend=backend,
                backend_kind=kind,
                attempts="small=throttled, bedrock" if fell else backend,
                own_dollars=invocation(first + answer / rate, restored=False, memory_mb=512),
                budget_window="day",
            )

    def _answer(self, asked: _Asked) -> float:
        """One by the model of our own; returns the seconds to its first token."""
        first = asked.first
        cpu, variant = self._random.choices(_CPUS, (3, 1))[0]
        restored = self._random.random() < 0.05  # noqa: PLR2004 - a share
        version = "8" if asked.at > MIDNIGHT + 0.6 * DAY else "7"
        if restored:
            took = self._random.lognormvariate(0.1 if cpu == "Graviton2" else -0.3, 0.35)
            self._write(
                lines.INFERENCE_RESTORE,
                asked.at,
                version=version,
                RestoreSeconds=took,
                model=MODEL,
                model_version=_VERSION,
                cpu=cpu,
                cpu_variant=variant,
                resident_bytes=_MEMORY["resident_bytes"],
            )
            first += took
        seconds = first + asked.answer / asked.rate
        self._write(
            lines.INFERENCE_REQUEST,
            asked.at + seconds,
            version=version,
            Errors=int(asked.failed),
            FirstTokenSeconds=None if asked.failed else first,
            DecodeRate=None if asked.failed else asked.rate,
            InputTokens=asked.prompt,
            CachedTokens=asked.cached,
            OutputTokens=0 if asked.failed else asked.answer,
            Restores=int(restored),
            Dollars=seconds * 10 * 1.33334e-5,
            status=503 if asked.failed else 200,
            error="overloaded" if asked.failed else None,
            operation="/v1/chat/completions",
            stream=True,
            finish_reason=None if asked.failed else "stop",
            seconds=seconds,
            queue_seconds=asked.wait,
            prefill_rate=190.0,
            restored_tokens=asked.cached // 2,
            guessed_tokens=asked.answer // 4,
            accepted_tokens=asked.answer // 6,
            restored=True,
            seconds_since_restore=0.0 if restored else self._random.random() * 3000,
            model=MODEL,
            model_version=_VERSION,
            cpu=cpu,
            cpu_variant=variant,
            backend="lambda",
            backend_kind="lambda",
            tenant=asked.tenant,
            application="support",
            **_MEMORY,
        )
        return first

    def _inits(self) -> None:
        for version, at in (("7", MIDNIGHT + 30), ("8", MIDNIGHT + 0.58 * DAY)):
            self._write(
                lines.INFERENCE_INIT,
                at,
                version=version,
                InitSeconds=9.4,
                download_seconds=5.1,
                open_seconds=1.9,
                warm_seconds=2.2,
                warm_tokens=504,
                model=MODEL,
                model_version=_VERSION,
                cpu="Graviton2",
                cpu_variant="armv8.2_1",
                **_MEMORY,
            )
        for kind in (lines.ROUTER_INIT, lines.AGENT_INIT):
            for hour in (0, 7, 9, 13):
                self._write(kind, MIDNIGHT + hour * 3600 + 40, InitSeconds=0.8, resident_bytes=140_000_000)

    def _agents(self, executions: int) -> None:
        for number in range(executions):
            at = MIDNIGHT + DAY * self._random.betavariate(3, 2.4)
            failing = number % (2 if self._trouble else 40) == 1
            status = "failed" if failing else "stopped" if number % 20 == 3 else "succeeded"  # noqa: PLR2004 - one of 20
            execution = f"arn:aws:lambda:us-east-1:123456789012:function:research:3/durable-execution/{number}"
            models, tools = self._random.randint(2, 9), self._random.randint(1, 12)
            tenant = self._random.choices(_TENANTS, _SHARES)[0]
            told = {"execution": execution, "tenant": tenant}
            for call in range(models):
                wrong = number % 10 == 0 and call == 1
                self._write(
                    lines.AGENT_MODEL_CALL,
                    at + call * 8,
                    Errors=int(wrong),
                    InputTokens=900 + 400 * call,
                    OutputTokens=120,
                    step=f"model-{call}",
                    status="failed" if wrong else "succeeded",
                    error="overloaded" if wrong else None,
                    seconds=6.5,
                    model="assistant",
                    **told,
                )
            for call in range(tools):
                failed = self._random.random() < 0.05  # noqa: PLR2004 - a share
                self._write(
                    lines.AGENT_TOOL_CALL,
                    at + call * 6 + 3,
                    Errors=int(failed),
                    step=f"tool-{call}",
                    status="failed" if failed else "succeeded",
                    error="timeout" if failed else None,
                    seconds=self._random.expovariate(0.7),
                    tool=self._random.choice(("search", "read", "python")),
                    source="mcp",
                    **told,
                )
            self._write(
                lines.AGENT_EXECUTION,
                at + (models + tools) * 7,
                Errors=int(status == "failed"),
                ExecutionSeconds=(models + tools) * 7.0,
                Steps=models + tools,
                Dollars=(models + tools) * 2.4e-5,
                status=status,
                error="model_failed" if status == "failed" else None,
                model_calls=models,
                tool_calls=tools,
                **told,
            )

    def _batch(self) -> None:
        begin, parts, size = MIDNIGHT + 3600, 40, 250
        told = {"batch": "batch_7f3a", "tenant": "acme", "model": "assistant", "backend_kind": "lambda"}
        failed = 0
        for part in range(parts):
            wrong = self._random.randint(100, 200) if self._trouble else int(self._random.random() * 4)
            failed += wrong
            self._write(
                lines.BATCH_PART,
                begin + part * 190,
                Records=size,
                RecordErrors=wrong,
                InputTokens=size * 420,
                OutputTokens=size * 90,
                Dollars=size * 7.4e-4,
                part=part,
                backend="own",
                status="ended",
                error="invalid_request" if wrong else None,
                seconds=185.0,
                own_dollars=invocation(185.0, restored=False, memory_mb=1024),
                **told,
            )
        ended = parts * size
        self._write(
            lines.BATCH,
            begin - 300,
            batch="batch_7f39",
            tenant="globex",
            model="assistant",
            backend_kind="bedrock",
            status="failed",
            error="invalid_line",
            records=3,
            completed=0,
            failed=3,
            seconds=2.0,
        )
        for at, status, completed, wrong in (
            (begin - 60, "validating", 0, 0),
            (begin, "in_progress", 0, 0),
            (begin + parts * 190, "completed", ended - failed, failed),
        ):
            self._write(
                lines.BATCH,
                at,
                status=status,
                error=None,
                records=ended,
                completed=completed,
                failed=wrong,
                seconds=at - begin + 60,
                **told,
            )

    def _pruner(self) -> None:
        unused = 5 if self._trouble else 1
        self._write(lines.PRUNE, MIDNIGHT + 4 * 3600, UnusedVersions=unused, target=FUNCTIONS["inference"], pruned=2)

    def _states(self) -> None:
        for name, value in (
            ("ExecutionsStarted", 1),
            ("ExecutionsSucceeded", 1),
            ("ExecutionsFailed", 0),
            ("ExecutionsTimedOut", 0),
        ):
            self.metrics.put("AWS/States", name, {"StateMachineArn": MACHINE}, MIDNIGHT + 12_000, value)


def _traffic(share: float) -> float:
    """Requests a minute at a share of the day."""
    peaks = ((0.42, 0.07, 9.0), (0.63, 0.09, 7.0), (0.85, 0.05, 3.0))
    return 0.25 + sum(height * math.exp(-(((share - middle) / width) ** 2)) for middle, width, height in peaks)


@contextmanager
def _as(function: str, version: str) -> Iterator[None]:
    """Be a function, as its environment variables say."""
    mine = {"AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_VERSION": version}
    before: Mapping[str, Any] = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
