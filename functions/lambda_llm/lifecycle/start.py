"""Init: from settings to a model that is ready to answer."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lambda_llm.api.schema import Memory
from lambda_llm.api.service import Served
from lambda_llm.engine import backend
from lambda_llm.engine.encoder import Encoder
from lambda_llm.engine.model import Model
from lambda_llm.engine.session_store import PENDING_TOKENS, SessionStore
from lambda_llm.engine.template import ChatTemplate
from lambda_llm.engine.threads import threads_for
from lambda_llm.lifecycle.hooks import Resource
from lambda_llm.lifecycle.identity import identity
from lambda_llm.lifecycle.invariants import check_invariants
from lambda_llm.lifecycle.memory import available_memory, resident
from lambda_llm.lifecycle.warmup import warm_up
from lambda_llm.loading.download import Progress
from lambda_llm.loading.load import Loaded, load
from lambda_llm.loading.objects import S3Objects
from lambda_llm.loading.source import ModelReference
from lambda_llm.loading.text import read_text
from lambda_llm.settings import Overflow, Settings, Weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Environment:
    """A warm process.

    Attributes:
        served: what the API needs.
        loaded: what was loaded; its memory file is closed already, the mapped pages live on.
        open_seconds: llama.cpp's loading of the weights and making of the context.
        warm_seconds: warm-up.
        warm_tokens: tokens that wait in the KV cache.
        resources: what the snapshot's hooks have to look after beside the model.
    """

    served: Served
    loaded: Loaded
    open_seconds: float
    warm_seconds: float
    warm_tokens: int
    resources: Sequence[Resource] = ()


def start(settings: Settings, progress: Progress | None = None) -> Environment:
    """Load, verify, open and warm the model, or raise and leave nothing behind.

    Args:
        settings: all of them.
        progress: called with bytes done and bytes in all while the model is loaded.

    Raises:
        LambdaLLMError: one sentence that says why this environment can't serve.
    """
    check_invariants(os.environ)
    process = resident()
    # What is small is read first: a wrong reference shows before a long download.
    given = [settings.system_prompt] if settings.system_prompt else []
    system_prompts = [read_text(text, seconds=settings.load_seconds) for text in (*given, *settings.system_prompts)]
    storage = S3Objects(settings.sessions) if settings.sessions else None
    if storage:
        storage.check()
    reference = ModelReference.of(settings)
    loaded = load(
        reference,
        context=settings.context,
        kv_type=settings.kv_type,
        weights=settings.weights,
        memory=available_memory(settings),
        seconds=settings.load_seconds,
        progress=progress,
        # No token is shorter than a byte; that of a prompt which leaves no room is refused below.
        kept_tokens=sum(len(text.encode()) for text in system_prompts) + (PENDING_TOKENS if storage else 0),
    )
    with loaded.file as file:
        identified = identity(settings, loaded) if storage else b""
        began = time.perf_counter()
        opens = Encoder if loaded.inspection.header.encodes else Model
        model = opens(
            file.path,
            what=reference.uri,
            placement=loaded.fit.placement,
            context=loaded.fit.context,
            kv_type=settings.kv_type,
            threads=settings.threads or threads_for(loaded.fit.weights),
            shifts=settings.context_overflow is Overflow.SHIFT,
            when_read=file.close,
        )
    opened = time.perf_counter()
    try:
        template = ChatTemplate(model)
        warm_tokens = warm_up(model, template, system_prompts)
    except BaseException:
        model.close()
        raise
    warmed = time.perf_counter()
    logger.info(
        "ready: opened in %.2f s, warmed in %.2f s, CPU backend %s", opened - began, warmed - opened, backend.variant()
    )
    fit = loaded.fit

    def memory() -> Memory:
        return Memory(
            model_file=loaded.inspection.described.size if fit.placement is Weights.MAPPED else 0,
            weights=fit.weights,
            kv_cache=fit.kv,
            compute_buffers=fit.compute,
            prefixes=model.prefixes.bytes,
            process=process,
            peak=fit.peak,
            resident=resident(),
        )

    served = Served(
        model=model,
        template=template,
        model_id=settings.model_name or loaded.inspection.header.name or reference.name,
        placement=fit.placement,
        memory=memory,
        sessions=SessionStore(model, storage, identified) if storage else None,
        queue=settings.queue,
        keepalive_seconds=settings.keepalive_seconds,
        trust_user=settings.trust_user,
    )
    return Environment(
        served, loaded, opened - began, warmed - opened, warm_tokens, resources=[storage] if storage else []
    )
