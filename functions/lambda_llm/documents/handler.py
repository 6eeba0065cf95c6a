"""The function of a state machine: prepare → create → poll, until the batch has ended → export.

An event is `{"do": …, "run": …, "state": …}`: what to do, the name of the run, which no other has, and what the
invocation before this one has returned as `state`. It returns `{"step": …, "state": …}`, where `step` is what to do
next: `prepare`, `create`, `wait`, `export` or `end`.

Every invocation may be repeated. Texts are never logged.
"""

import logging
import os
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from lambda_llm.aws import clients
from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.batch_store import figures
from lambda_llm.batch_store.batches import Batches
from lambda_llm.documents import export as exporting
from lambda_llm.documents import prepare as preparing
from lambda_llm.documents.batches import create
from lambda_llm.documents.chunks import Splitter
from lambda_llm.documents.errors import BatchEndedError, DocumentsSettingsError
from lambda_llm.documents.s3_vectors import Index
from lambda_llm.documents.settings import Settings
from lambda_llm.openai_types.batches import ENDED

READ_SECONDS: Final = 60
"""Silence after which S3 counts as unavailable: it takes a while to put many parts together."""

ATTEMPTS: Final = 6
"""Of each request: S3 Vectors refuses what is too much for it at once."""

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class Running(BaseModel):
    """State of a run with a batch.

    Attributes:
        prepared: its input.
        batch: id of the batch.
        export: how far its vectors are written; None: the batch has not ended.
    """

    model_config = ConfigDict(frozen=True)

    prepared: preparing.Prepared
    batch: str
    export: exporting.State | None = None


class Function:
    """What one environment keeps."""

    def __init__(self, settings: Settings, s3: Any, states: Any, index: Index | None) -> None:
        """Take the parts.

        Args:
            settings: of the function.
            s3: client of S3.
            states: client of Step Functions.
            index: of S3 Vectors, if there is one.
        """
        self._settings = settings
        self._s3 = s3
        self._batches = Batches(settings.store, s3, states, settings.machine, changed=figures.write)
        self._index = index
        self._splitter: Splitter | None = None

    def prepare(self, run: str, state: dict[str, Any], seconds: Callable[[], float]) -> tuple[str, BaseModel]:
        """Read documents, and write the input."""
        before = preparing.State.model_validate(state) if state else None
        done = preparing.prepare(self._s3, self._settings, self._ready_splitter(), run, before, seconds)
        if isinstance(done, preparing.State):
            return "prepare", done
        return ("create" if done.counts.chunks else "end"), done

    def create(self, run: str, state: dict[str, Any], _: Callable[[], float]) -> tuple[str, BaseModel]:
        """Start the batch."""
        prepared = preparing.Prepared.model_validate(state)
        batch = create(self._s3, self._batches, self._settings, run, prepared)
        return "wait", Running(prepared=prepared, batch=batch.id)

    def poll(self, _: str, state: dict[str, Any], __: Callable[[], float]) -> tuple[str, BaseModel]:
        """Whether the batch has ended; one without any answers is a failure."""
        running = Running.model_validate(state)
        batch = self._batches.get(self._settings.tenant, running.batch)
        if batch.status not in ENDED:
            return "wait", running
        if batch.status == "failed":
            why = batch.errors.data[0].message if batch.errors and batch.errors.data else "it does not say why"
            raise BatchEndedError(f"The batch {batch.id} has failed ({why}): correct that, and start a new run.")
        begun = exporting.begin(self._s3, self._settings, running.prepared, batch)
        return "export", running.model_copy(update={"export": begun})

    def export(self, run: str, state: dict[str, Any], seconds: Callable[[], float]) -> tuple[str, BaseModel]:
        """Write vectors, and the report at last."""
        running = Running.model_validate(state)
        if running.export is None:
            raise ValueError("the batch was not polled")  # a bug of the state machine
        reached, ended = exporting.export(self._s3, self._settings, self._index, run, running.export, seconds)
        if not ended:
            return "export", running.model_copy(update={"export": reached})
        batch = self._batches.get(self._settings.tenant, running.batch)
        return "end", exporting.report(self._s3, self._settings, run, running.prepared, batch, reached)

    def _ready_splitter(self) -> Splitter:
        if self._splitter is None:
            settings = self._settings
            tokenizer = None if settings.tokenizer is None else _text(self._s3, settings.tokenizer)
            self._splitter = Splitter(settings.size, settings.overlap, tokenizer)
        return self._splitter


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do what an event says."""
    function = _function()
    steps = {
        "prepare": function.prepare,
        "create": function.create,
        "poll": function.poll,
        "export": function.export,
    }
    run: str = event["run"]

    def seconds() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    step, state = steps[event["do"]](run, event["state"], seconds)
    logger.info("run %s: %s, then %s", run, event["do"], step)
    return {"step": step, "state": state.model_dump()}


@cache
def _function() -> Function:
    settings = Settings.load(os.environ)

    def client(service: str) -> Any:
        return clients.create(service, read_seconds=READ_SECONDS, attempts=ATTEMPTS, connections=32)

    index = None if settings.vectors is None else Index(client("s3vectors"), settings.vectors)
    return Function(settings, client("s3"), client("stepfunctions"), index)


def _text(s3: Any, uri: str) -> str:
    bucket, key = parse_object(uri)
    try:
        text: str = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except (ClientError, BotoCoreError, UnicodeDecodeError) as error:
        raise DocumentsSettingsError(
            f"The tokenizer {uri} can't be read ({error}): check LAMBDA_LLM_DOCUMENTS_TOKENIZER, and that the role may "
            "use s3:GetObject on it."
        ) from error
    return text
