"""A batch of many small records on the local AWS while workers die, S3 fails and the model throttles: nothing is lost.

    python -m scripts.batch_soak --records 100000

A seed makes what is asked and most of what goes wrong the same in each run. The verdict is about the two files that
come of it: every record once, in order, with its own answer or the error that it had to get, and counts that agree.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Final

from lambda_llm.openai_types.batches import Batch
from scripts.local_aws.batches import Faults, Stand, line, stand

KILLS: Final = 0.0005
S3_ERRORS: Final = 0.002
MOODS: Final = 0.02
REFUSED: Final = 0.01
KILLING: Final = 2
"""Records that kill every worker which asks for them."""

DECODE: Final = 0.0003
"""Tokens a second, for each record, that the model is said to have: it makes some 55 parts."""

REFUSAL: Final = "content_policy"
LOST: Final = "worker_lost"


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        records: of the batch.
        seconds: from its creation to its end.
        status: of the batch.
        completed: records with an answer.
        errors: lines of the error file by code.
        parts: workers' executions that the state machine started.
        killed: processes that died on the way.
        s3_errors: requests to S3 that were refused.
        asked: requests to the model.
        repeated: those for a record that had been asked for before.
        failures: what may not be, each in a sentence.
    """

    records: int
    seconds: float = 0.0
    status: str = ""
    completed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    parts: int = 0
    killed: int = 0
    s3_errors: int = 0
    asked: int = 0
    repeated: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


def texts(records: int, seed: int) -> Iterator[str]:
    """What is asked, in order: `batch_model` and `batch_faults` know what becomes of it."""
    dice = random.Random(seed)  # noqa: S311 - a schedule
    killing = set(dice.sample(range(records), k=min(KILLING, records)))
    for number in range(records):
        kind = "kill" if number in killing else "refuse" if dice.random() < REFUSED else "word"
        yield f"{kind} {number}"


def written(records: int, seed: int, model: str = "chat") -> BinaryIO:
    """An input, in a temporary file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    for number, text in enumerate(texts(records, seed)):
        file.write(line(f"record-{number}", text, model))
    file.seek(0)
    return file


def soak(records: int, seed: int, seconds: float, faults: Faults | None = None) -> Outcome:
    """Run a batch from its file to its files, and compare.

    Args:
        records: of the batch.
        seed: of what is asked and of what goes wrong.
        seconds: that it may take.
        faults: what goes wrong; default: as above.
    """
    with stand(faults or Faults(seed, KILLS, S3_ERRORS, MOODS), decode=DECODE * records) as running:
        began = time.monotonic()
        batch = running.ended(running.create(written(records, seed)).id, seconds)
        outcome = Outcome(records, time.monotonic() - began, batch.status)
        look(running, batch, texts(records, seed), outcome)
        return outcome


def look(running: Stand, batch: Batch, asked: Iterator[str], outcome: Outcome) -> None:
    """Compare a batch that was not cancelled with what was asked.

    Args:
        running: where it ran.
        batch: at its end.
        asked: texts of its records, in order.
        outcome: gets what was found.
    """
    answers, errors = running.lines(batch.output_file_id), running.lines(batch.error_file_id)
    for number, text in enumerate(asked):
        name = f"record-{number}"
        if text.startswith("word"):
            outcome.completed += 1
            outcome.failures += _answer(next(answers, None), name, text)
        else:
            code = REFUSAL if text.startswith("refuse") else LOST
            outcome.errors[code] += 1
            outcome.failures += _error(next(errors, None), name, code)
    over = sum(1 for _ in itertools.chain(answers, errors))
    if over:
        outcome.failures.append(f"{over} lines are there that no record has")
    if batch.status != "completed":
        outcome.failures.append(f"the batch is {batch.status}")
    counts = batch.request_counts
    if (counts.total, counts.completed, counts.failed) != (
        outcome.records,
        outcome.completed,
        outcome.errors.total(),
    ):
        outcome.failures.append(f"the counts are {counts}")
    if batch.usage is None or batch.usage.total_tokens != 5 * outcome.completed:
        outcome.failures.append(f"the usage is {batch.usage}")
    times = Counter(running.noted("asked"))
    outcome.asked, outcome.repeated = times.total(), times.total() - len(times)
    outcome.killed, outcome.s3_errors = len(running.noted("killed")), len(running.noted("s3_errors"))
    outcome.parts = running.children(batch.id)
    if (status := running.settled(batch.id)) != "SUCCEEDED":
        outcome.failures.append(f"the execution is {status}")


def _answer(found: dict[str, Any] | None, name: str, text: str) -> list[str]:
    if found is None:
        return [f"{name} has no answer"]
    said = found["response"]["body"]["choices"][0]["message"]["content"]
    right = (found["custom_id"], said, found["error"]) == (name, f"You said {text}", None)
    return [] if right else [f"in the place of {name} is {found['custom_id']} with {said!r}"]


def _error(found: dict[str, Any] | None, name: str, code: str) -> list[str]:
    if found is None:
        return [f"{name} has no error"]
    right = found["custom_id"] == name and code in json.dumps(found)
    return [] if right else [f"in the place of {name}, with {code}, is {json.dumps(found)[:300]}"]


def main() -> int:
    """Soak, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=120.0, help="that it may take")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    outcome = soak(given.records, given.seed, given.minutes * 60)
    if given.json:
        print(json.dumps(asdict(outcome) | {"rate": outcome.rate}))
    else:
        print(f"{outcome.records:,} records in {outcome.seconds:,.0f} s: {outcome.rate:,.0f} a second")
        print(f"{outcome.completed:,} answers; errors: {dict(outcome.errors)}; {outcome.parts} parts")
        print(f"{outcome.killed} processes died, S3 refused {outcome.s3_errors} requests; the model was asked", end=" ")
        print(f"{outcome.asked:,} times, {outcome.repeated:,} of them for a record that it had been asked before")
        print("\n".join(outcome.failures[:20]) or "every record is there once, in order, and the counts agree")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
