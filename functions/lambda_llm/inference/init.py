"""Init: from settings to an engine that is ready for requests."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lambda_llm.aws.s3_objects import S3Objects
from lambda_llm.engine import backend
from lambda_llm.engine.engine import Engine
from lambda_llm.engine.finite_weights import check_finite
from lambda_llm.engine.session_store import PENDING_STATES, PENDING_TOKENS
from lambda_llm.gguf.errors import about
from lambda_llm.inference.invariants import check_invariants
from lambda_llm.inference.kv_fingerprint import kv_fingerprint
from lambda_llm.inference.lambda_environment import LambdaEnvironment
from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.hooks import Resource
from lambda_llm.inference.snapshot.memory import available_memory, huge_pages, resident
from lambda_llm.inference.warm_up import warm_up_decoder, warm_up_encoder
from lambda_llm.loading.download import Progress
from lambda_llm.loading.load import Loaded, load
from lambda_llm.loading.text import read_text
from lambda_llm.serving.service import ServingOptions
from lambda_llm.telemetry import spans
from lambda_llm.units import printable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Environment:
    """A warm process.

    Attributes:
        engine: ready for requests.
        serving: options of the API.
        loaded: the model; its memory file is closed already, mapped pages stay mapped.
        open_seconds: time in which llama.cpp loaded the weights and created the context.
        warm_seconds: duration of the warm-up.
        warm_tokens: tokens in the KV cache.
        resources: what the snapshot hooks close and reopen besides the engine.
    """

    engine: Engine
    serving: ServingOptions
    loaded: Loaded
    open_seconds: float
    warm_seconds: float
    warm_tokens: int
    resources: Sequence[Resource] = ()


def init(settings: Settings, progress: Progress | None = None) -> Environment:
    """Load, verify, open and warm the model, or raise and leave nothing behind.

    Args:
        settings: all settings.
        progress: called with bytes done and bytes in total while the model is loaded.

    Raises:
        LambdaLLMError: why this environment can't serve, in one sentence.
    """
    check_invariants(os.environ)
    before = resident()
    # Small objects first: a wrong reference fails before the long download.
    default = [settings.system_prompt] if settings.system_prompt else []
    system_prompts = [read_text(text, seconds=settings.load_seconds) for text in (*default, *settings.system_prompts)]
    storage = S3Objects(settings.sessions) if settings.sessions else None
    if storage:
        storage.check()
    reference = settings.reference
    with spans.span("download"):
        loaded = load(
            reference,
            options=settings.options,
            memory=available_memory(settings),
            seconds=settings.load_seconds,
            progress=progress,
            # A token has at least one byte. A prompt that leaves no room for a conversation is refused in the warm-up.
            pinned_tokens=sum(len(text.encode()) for text in system_prompts) + (PENDING_TOKENS if storage else 0),
            pinned_states=len(system_prompts) + (PENDING_STATES if storage else 0),
        )
    header = loaded.inspection.header
    with loaded.file as file, about(reference.uri), spans.span("load"):
        fingerprint = kv_fingerprint(loaded) if storage else b""
        check_finite(file.path, header.tensors)
        began = time.perf_counter()
        engine = Engine.open(
            file.path,
            loaded.plan,
            encodes=header.encodes,
            when_read=file.close,
            storage=storage,
            fingerprint=fingerprint,
        )
    opened = time.perf_counter()
    try:
        with spans.span("warm_up"):
            warm_tokens = (warm_up_encoder if header.encodes else warm_up_decoder)(engine, system_prompts)
    except BaseException:
        engine.close()
        raise
    warmed = time.perf_counter()
    name = settings.model_name or header.name or reference.name
    where = LambdaEnvironment.of(os.environ)
    logger.info(
        "ready: opened in %.2f s, warmed in %.2f s, huge pages: %s, CPU backend %s",
        opened - began,
        warmed - opened,
        huge_pages(),
        backend.variant(),
    )
    return Environment(
        engine=engine,
        serving=ServingOptions(
            model_id=slug(name),
            aliases=[slug(alias) for alias in settings.model_aliases],
            names=[name, *settings.model_aliases, *filter(None, [header.name])],
            queue=settings.queue,
            keep_alive_seconds=settings.keepalive_seconds,
            answer_seconds=settings.answer_seconds,
            max_tokens=settings.max_tokens,
            parse_control=settings.parse_control_tokens,
            tenancy=settings.tenant,
            resident_before=before,
            checksums=loaded.download.checksums,
            environment=where.describe if where else None,
        ),
        loaded=loaded,
        open_seconds=opened - began,
        warm_seconds=warmed - opened,
        warm_tokens=warm_tokens,
        resources=[each for each in (storage, where) if each],
    )


def slug(name: str) -> str:
    """A model's name as an id: without white space and control characters, which no client expects in one."""
    return "-".join(printable(name).split()) or "model"
