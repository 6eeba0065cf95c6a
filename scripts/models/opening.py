"""Open a model file for a benchmark, an evaluation or a test: without S3, regardless of free memory."""

from pathlib import Path

from lambda_llm.engine.engine import Engine
from lambda_llm.gguf.memory_plan import plan_memory
from lambda_llm.gguf.options import ModelOptions, Weights
from lambda_llm.limits import MEMORY_MB, MIB
from lambda_llm.loading.load import inspect
from lambda_llm.loading.sources.base import ModelReference

ONE_THREAD = ModelOptions(placement=Weights.COPIED, threads=1)
"""For small models: llama.cpp's threads spin while they wait, so on a machine with few CPUs one is fastest."""


def open_engine(path: Path | str, options: ModelOptions = ONE_THREAD) -> Engine:
    """Return an engine for a file; the caller closes it.

    Args:
        path: of a GGUF file.
        options: how to open it.

    Raises:
        LoadError: the file can't be read, or llama.cpp can't run it.
    """
    inspection = inspect(ModelReference(str(path)))
    plan = plan_memory(inspection.header, inspection.described.size, options, memory=MEMORY_MB * MIB)
    return Engine.open(str(path), plan, encodes=inspection.header.encodes)
