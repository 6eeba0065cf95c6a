"""What keys and values in the KV cache depend on besides the tokens: it is part of every key in the session store."""

import json
from pathlib import Path

from awscrt.checksums import crc64nvme

from lambda_llm.engine import backend
from lambda_llm.limits import MIB
from lambda_llm.loading.load import Loaded


def kv_fingerprint(loaded: Loaded) -> bytes:
    """The model's checksum, and every option that changes what llama.cpp computes or how it stores it.

    The number of threads and the placement of the weights change rounding only, so environments that differ in these
    share entries.

    Args:
        loaded: with its memory file still open.
    """
    content = loaded.inspection.described.crc64nvme
    parts = {
        "model": [loaded.file.size, _crc64nvme(loaded.file.path) if content is None else content],
        "context": loaded.plan.context_length,  # some models scale positions by it
        "kv_type": loaded.plan.options.kv_type,
        "llama.cpp": backend.version(),
    }
    return json.dumps(parts, sort_keys=True).encode()


def _crc64nvme(path: str) -> int:
    crc = 0
    with Path(path).open("rb") as file:
        while piece := file.read(MIB):
            crc = crc64nvme(piece, crc)
    return crc
