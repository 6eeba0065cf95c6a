"""A batch's functions whose processes die and whose S3 fails, by a seeded schedule; goes into a copy of their zip.

A process may die as it asks the model, and before or after each write. It does so at a worker's first attempt and at
its second, which goes record by record: two workers that were lost with one record in hand would be the record's fault.
That of a record whose text is `kill` they are.
"""

import io
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from lambda_llm.batch import ask, storage

FOLDER: Final = Path(os.environ["BATCH_FOLDER"])
SEED: Final = os.environ["BATCH_SEED"]
KILLS: Final = float(os.environ["BATCH_KILLS"])
S3_ERRORS: Final = float(os.environ["BATCH_S3_ERRORS"])

DYING: Final = 2
"""Attempts at a step that may be killed."""

SLOW_DOWN: Final = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class _Fate:
    """What this invocation may meet."""

    def __init__(self) -> None:
        self.dice = random.Random(SEED)  # noqa: S311 - a schedule
        self.kills = 0.0

    def begin(self, event: dict[str, Any]) -> None:
        """Draw anew, by what is asked and how often somebody died of it."""
        self.name = f"{event['batch']} {event.get('do')} {event.get('part', {}).get('part', '')}"
        died = sum(line == self.name for line in _lines("killed"))
        attempt = int(event.get("attempt", died))
        self.dice.seed(f"{SEED} {self.name.partition(' ')[2]} {died} {attempt}")
        self.kills = KILLS if attempt < DYING else 0.0

    def may_die(self) -> None:
        """Die, if that was drawn."""
        if self.dice.random() < self.kills:
            self.die()

    def die(self) -> NoReturn:
        """End this process without any farewell."""
        _note("killed", self.name)
        os._exit(1)


_fate = _Fate()


def _note(file: str, line: str) -> None:
    with (FOLDER / file).open("a", encoding="utf-8") as opened:
        opened.write(f"{line}\n")


def _lines(file: str) -> list[str]:
    path = FOLDER / file
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


class _Raw(io.BytesIO):
    """A body as urllib3 has it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


def _before(request: Any, **_: Any) -> AWSResponse | None:
    if request.method in {"PUT", "POST"}:
        _fate.may_die()
    if _fate.dice.random() < S3_ERRORS:
        _note("s3_errors", request.method)
        return AWSResponse(request.url, 503, HTTPHeaders(), _Raw(SLOW_DOWN))
    return None


def _after(model: Any, **_: Any) -> None:
    if model.http["method"] in {"PUT", "POST"}:
        _fate.may_die()


def _failing(make: Any) -> Any:
    def made() -> Any:
        client = make()
        client.meta.events.register("before-send.s3", _before)
        client.meta.events.register("after-call.s3", _after)
        return client

    return made


def _killing(asks: Any) -> Any:
    async def asked(self: Any, line: Any, *others: Any) -> Any:
        _fate.may_die()
        if line.body["messages"][0]["content"].startswith("kill"):
            _fate.die()
        return await asks(self, line, *others)

    return asked


storage.s3_client = _failing(storage.s3_client)
ask.Asker.ask = _killing(ask.Asker.ask)  # type: ignore[method-assign] # the point of it

# The handler takes its client as it is imported.
from lambda_llm.batch import handler  # noqa: E402


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do what the handler does, or die."""
    _fate.begin(event)
    print(_fate.name, file=sys.stderr)
    return handler.handle(event, context)
