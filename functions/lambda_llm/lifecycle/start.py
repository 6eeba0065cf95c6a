"""Init: from settings to a model that is ready to answer."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lambda_llm.api.schema import Memory
from lambda_llm.api.service import Served
from lambda_llm.engine import backend
from lambda_llm.engine.model import Model
from lambda_llm.engine.template import ChatTemplate
from lambda_llm.engine.threads import threads_for
from lambda_llm.lifecycle.hooks import Resource
from lambda_llm.lifecycle.invariants import check_invariants
from lambda_llm.lifecycle.memory import available_memory, resident
from lambda_llm.lifecycle.warmup import warm_up
from lambda_llm.loading.download import Progress
from lambda_llm.loading.load import Loaded, load
from lambda_llm.loading.source import ModelReference
from lambda_llm.settings import Settings, Weights

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
    reference = ModelReference.of(settings)
    loaded = load(
        reference,
        context=settings.context,
        kv_type=settings.kv_type,
        weights=settings.weights,
        memory=available_memory(settings),
        seconds=settings.load_seconds,
        progress=progress,
    )
    with loaded.file as file:
        began = time.perf_counter()
        model = Model(
            file.path,
            what=reference.uri,
            placement=loaded.fit.placement,
            context=loaded.fit.context,
            kv_type=settings.kv_type,
            threads=settings.threads or threads_for(loaded.fit.weights),
        )
    opened = time.perf_counter()
    try:
        template = ChatTemplate(model)
        warm_tokens = warm_up(model, template, settings.system_prompt)
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
            resident=resident(),
        )

    served = Served(
        model=model,
        template=template,
        model_id=settings.model_name or loaded.inspection.header.name or reference.name,
        placement=fit.placement,
        memory=memory,
    )
    return Environment(served, loaded, opened - began, warmed - opened, warm_tokens)
