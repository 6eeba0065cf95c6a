"""One job of an array of AWS Batch: a container with a GPU, a server of OpenAI's API, and this program beside it.

`python -m lambda_llm.batch.gpu -- COMMAND…` starts the server by its command, waits until it answers, and then works as
a worker does: the index of the job is the number of its part. It ends with the server; a part that was cut off, such as
by an instance that was taken back, goes on behind its last piece in the job's next attempt.

Source: https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx2

from lambda_llm.aws import clients
from lambda_llm.batch import build
from lambda_llm.batch.config import GPUBackend
from lambda_llm.batch.errors import BatchFailedError, SettingsError
from lambda_llm.batch.figures import worked
from lambda_llm.batch.notes import Notes
from lambda_llm.batch.plan import Part
from lambda_llm.batch.settings import configuration_of, store_of
from lambda_llm.batch.storage import Storage, s3_client
from lambda_llm.batch.worker import Worker
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.errors import LambdaLLMError
from lambda_llm.telemetry import logs

TENANT: Final = "LAMBDA_LLM_BATCH_TENANT"
BATCH: Final = "LAMBDA_LLM_BATCH_ID"
SERVER: Final = "LAMBDA_LLM_BATCH_SERVER"
"""Address of the server beside this program."""

INDEX: Final = "AWS_BATCH_JOB_ARRAY_INDEX"
START_SECONDS: Final = 1800.0
"""In which a server must answer: it loads its model."""

_LOOK_SECONDS: Final = 1.0
_END_SECONDS: Final = 30.0
"""That a server has to end by itself."""

_DAY: Final = 24 * 60 * 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What a job is told by its environment.

    Attributes:
        store: of the batch.
        tenant: whose it is.
        batch: its id.
        part: number of the part.
        server: address of the server.
    """

    store: str
    tenant: str
    batch: str
    part: int
    server: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read it.

        Raises:
            SettingsError: a variable is missing, or no number.
        """
        found = {}
        for name, meaning in ((TENANT, "whose batch it is"), (BATCH, "the batch's id")):
            if not environment.get(name):
                raise SettingsError(f"{name} is not set: set it to {meaning}, as the state machine does.")
            found[name] = environment[name]
        index = environment.get(INDEX, "0")
        if not (index.isascii() and index.isdigit()):
            raise SettingsError(f"{INDEX} is {index!r}: AWS Batch sets it to a whole number.")
        return cls(
            store_of(environment),
            found[TENANT],
            found[BATCH],
            int(index),
            environment.get(SERVER, "http://127.0.0.1:8000"),
        )


class ServerEndedError(LambdaLLMError):
    """The server has ended: a record may have done it, which counts as if it had killed a worker."""


@contextmanager
def served(command: Sequence[str], url: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a server until the context ends.

    Args:
        command: that starts it.
        url: of it; `/health` is asked, as llama.cpp's server and vLLM have it.

    Raises:
        BatchFailedError: it ended, or did not answer in time.
    """
    with subprocess.Popen(command) as process:  # noqa: S603 - what the job definition says
        try:
            until = time.monotonic() + START_SECONDS
            while not _answers(url):
                if process.poll() is not None:
                    raise ServerEndedError(f"The server ended with status {process.returncode} before it answered.")
                if time.monotonic() > until:
                    raise BatchFailedError("server_silent", f"The server did not answer within {START_SECONDS:.0f} s.")
                time.sleep(_LOOK_SECONDS)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:  # the instance would be paid for as long as it lives
                process.kill()


def run(job: Job, command: Sequence[str]) -> None:
    """Answer the part of a job.

    Args:
        job: which one.
        command: of the server.

    Raises:
        LambdaLLMError: the part could not be answered.
    """
    client = s3_client()
    storage = Storage(job.store, client)
    configuration = configuration_of(storage)
    batches = Batches(job.store, client, clients.create("stepfunctions"), configuration.machine)
    record = batches.read(job.tenant, job.batch).record
    content = storage.get(layout.parts(job.batch)) or b""
    lines = content.splitlines()
    if job.part >= len(lines):
        logger.info("job %d has no part", job.part)  # the least array has two jobs
        return
    model, backend = build.chosen(configuration, record)
    if not isinstance(backend, GPUBackend):
        raise BatchFailedError(
            "no_backend", f"The batch {job.batch} is answered by {record.backend!r}, which has no jobs."
        )
    part = Part.model_validate_json(lines[job.part])
    if Worker.over(storage, record, part):
        logger.info("part %d needs no answers", job.part)  # no server is started, which takes minutes of an instance
        return

    notes = Notes(storage, job.batch, job.part)

    async def answered(server: "subprocess.Popen[bytes]") -> None:
        asker = build.server(model, backend, record, job.server, lambda: _require_running(server))
        try:
            step = "again"
            while step == "again":
                with worked(record, backend, part) as done:
                    worker = Worker(storage, record, asker, backend.parallel, ended=done.ended)
                    step = done.step = await worker.work(part, int(notes.suspected), lambda: _DAY)
        finally:
            await asker.close()

    with served(command, job.server) as server:
        try:
            asyncio.run(_while_running(server, answered(server)))
        except ServerEndedError:
            notes.suspect()
            raise


async def _while_running(server: "subprocess.Popen[bytes]", work: Coroutine[Any, Any, None]) -> None:
    """Do work until it ends, or the server does: without one, every record would fail."""
    working = asyncio.ensure_future(work)
    while not working.done():
        await asyncio.wait([working], timeout=_LOOK_SECONDS)
        if server.poll() is not None and not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            _require_running(server)
    await working


def _require_running(server: "subprocess.Popen[bytes]") -> None:
    if server.poll() is not None:
        raise ServerEndedError(f"The server ended with status {server.returncode} while it was asked.")


def main(arguments: Sequence[str]) -> int:
    """Answer the part that the environment names, and return the exit status."""
    logs.configure()
    command = list(arguments)[1:] if arguments[:1] == ["--"] else list(arguments)
    if not command:
        logger.error("Name the command that starts the server: python -m lambda_llm.batch.gpu -- COMMAND")
        return 2
    try:
        run(Job.read(os.environ), command)
    except LambdaLLMError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message is complete
        return 1
    return 0


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=5).is_success
    except httpx2.HTTPError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
