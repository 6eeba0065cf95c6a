"""What keys and values in the KV cache depend on besides the tokens: it is part of every key in the session store."""

import json
from pathlib import Path

from awscrt.checksums import crc64nvme

from lambda_llm.engine import backend
from lambda_llm.limits import MIB
from lambda_llm.loading.load import Loaded


def kv_fingerprint(loaded: Loaded) -> bytes:
    """The model's digest, and every option that changes what llama.cpp computes or how it stores it.

    The digest is the pinned SHA-256 where there is one: for a CRC64NVME, whoever can write models can make another
    model that has the same.

    The number of threads and the placement of the weights change rounding only, so environments that differ in these
    share entries.

    Args:
        loaded: with its memory file still open.
    """
    parts = {
        "model": [loaded.file.size, _content(loaded)],
        "context": loaded.plan.context_length,  # some models scale positions by it
        "kv_type": loaded.plan.options.kv_type,
        "llama.cpp": backend.version(),
    }
    return json.dumps(parts, sort_keys=True).encode()


def _content(loaded: Loaded) -> str | int:
    inspection = loaded.inspection
    if inspection.reference.sha256:
        return inspection.reference.sha256.lower()
    told = inspection.described.crc64nvme
    return _crc64nvme(loaded.file.path) if told is None else told


def _crc64nvme(path: str) -> int:
    crc = 0
    with Path(path).open("rb") as file:
        while piece := file.read(MIB):
            crc = crc64nvme(piece, crc)
    return crc
