"""Start one packaging of a model from nothing to the first token, in this process, and print the times.

`cold_start.py` is the command line that starts this. The runtime is what the function imports; the rest is the same
engine on a model that comes from another place.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import lambda_llm.inference.serve  # noqa: F401 - what a function with this engine imports
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.finite_weights import check_finite
from lambda_llm.engine.generate import GenerationRequest
from lambda_llm.engine.sampling import Sampling
from lambda_llm.errors import LambdaLLMError
from lambda_llm.gguf.memory_plan import MemoryPlan, plan_memory
from lambda_llm.gguf.options import Weights
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.memory import available_memory
from lambda_llm.inference.snapshot.prefetch import STEP_BYTES, THREADS
from lambda_llm.loading.load import inspect, load
from lambda_llm.loading.sources.base import ModelReference
from scripts.bench.lazy_restore import PROMPT


class Place(StrEnum):
    """Where the model is when the process starts."""

    FILE = "file"
    FILE_READ_AHEAD = "file, read ahead"
    DOWNLOADED_FILE = "downloaded file"
    MEMORY_FILE = "memory file"


Found = tuple[str, MemoryPlan, Callable[[], object]]
"""Path, plan, and what to call once the file is read."""


def run(place: Place, model: str, threads: int, began: float) -> dict[str, Any]:
    """Return seconds of each step, and the answer.

    Args:
        place: where the model is.
        model: path or URI.
        threads: to compute with.
        began: when this process was started, on the system's monotonic clock.

    Raises:
        LambdaLLMError: the model can't be loaded.
    """
    marks = [began, time.monotonic()]
    settings = Settings.load(model=model, threads=threads, weights=Weights.COPIED)
    with _PLACES[place](settings) as (path, plan, when_read):
        marks.append(time.monotonic())
        engine = Engine.open(path, plan, when_read=when_read)
    marks.append(time.monotonic())
    prompt = engine.template.tokens([{"role": "user", "content": PROMPT}])
    text = "".join(engine.generate(GenerationRequest(prompt, Sampling(temperature=0), max_tokens=1)))
    marks.append(time.monotonic())
    steps = {
        name: marks[number + 1] - marks[number] for number, name in enumerate(("runtime", "fetch", "open", "answer"))
    }
    return steps | {"total": marks[-1] - began, "text": text}


@contextmanager
def _file(settings: Settings) -> Iterator[Found]:
    """The file as it lies there: the engine reads it while it opens it."""
    found = inspect(settings.reference)
    plan = plan_memory(found.header, found.described.size, settings.options, memory=available_memory(settings))
    plan.require()
    yield settings.model, plan, lambda: None


@contextmanager
def _file_read_ahead(settings: Settings) -> Iterator[Found]:
    """The same, while as many threads as after a restore read it into the page cache."""
    size = Path(settings.model).stat().st_size
    with Path(settings.model).open("rb", buffering=0) as file, ThreadPoolExecutor(THREADS) as pool:
        for at in range(0, size, STEP_BYTES):
            pool.submit(os.pread, file.fileno(), STEP_BYTES, at)
        with _file(settings) as found:
            yield found


@contextmanager
def _downloaded_file(settings: Settings) -> Iterator[Found]:
    """The usual way: boto3's transfer manager with its defaults, to a file in the folder for temporary files."""
    import boto3  # noqa: PLC0415 - only this way needs it
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - as above

    uri = urlsplit(settings.model)
    with tempfile.TemporaryDirectory(prefix="lambda-llm-bench-") as folder:
        path = Path(folder) / "model.gguf"
        classic = TransferConfig(preferred_transfer_client="classic")  # by default it uses awscrt on some machines
        boto3.client("s3").download_file(uri.netloc, uri.path.lstrip("/"), str(path), Config=classic)
        with _file(settings.model_copy(update={"model": str(path)})) as found:
            yield found


@contextmanager
def _memory_file(settings: Settings) -> Iterator[Found]:
    """Our way: verified, into a memory file, which is freed once the engine has read it."""
    loaded = load(
        ModelReference(settings.model),
        options=settings.options,
        memory=available_memory(settings),
        seconds=settings.load_seconds,
    )
    with loaded.file as file:
        check_finite(file.path, loaded.inspection.header.tensors)
        yield file.path, loaded.plan, file.close


_PLACES: Final = {
    Place.FILE: _file,
    Place.FILE_READ_AHEAD: _file_read_ahead,
    Place.DOWNLOADED_FILE: _downloaded_file,
    Place.MEMORY_FILE: _memory_file,
}


def main() -> None:
    """Read the arguments of `run` as JSON, and print what it returns."""
    given = json.loads(sys.argv[1])
    try:
        found = run(**given | {"place": Place(given["place"])})
    except LambdaLLMError as error:
        sys.exit(str(error))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
