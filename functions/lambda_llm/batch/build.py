"""What answers a batch's records, by its configuration."""

from collections.abc import Callable
from typing import Final

from lambda_llm.aws.signing import SigV4Auth
from lambda_llm.backends.bounded import Bounded
from lambda_llm.backends.contract import Operation
from lambda_llm.backends.endpoints import endpoint
from lambda_llm.backends.lambda_invoke import LambdaInvoke
from lambda_llm.backends.openai_http import OpenAIHTTP
from lambda_llm.batch.ask import Asker
from lambda_llm.batch.config import Backend, Configuration, GPUBackend, LambdaBackend, Model
from lambda_llm.batch.errors import BatchFailedError
from lambda_llm.batch.estimate import WORKER_MB
from lambda_llm.batch_store.records import Record
from lambda_llm.cost import prices

_LATE_SECONDS: Final = 10
"""After a function's own timeout, at which Lambda has answered for it."""


def chosen(configuration: Configuration, record: Record) -> tuple[Model, Backend]:
    """The model of a batch and who was chosen to answer it.

    Raises:
        BatchFailedError: the configuration has it no more.
    """
    model = configuration.models.get(str(record.batch.model))
    backend = None if model is None else model.backends.get(str(record.backend))
    if model is None or backend is None:
        raise BatchFailedError(
            "no_backend",
            f"The store's configuration has no {record.backend!r} for {record.batch.model!r} any more: bring it back, "
            "and resume the batch.",
        )
    return model, backend


def function(model: Model, backend: LambdaBackend, record: Record) -> Asker:
    """Asks a function for inference.

    Raises:
        CredentialsError: there are no AWS credentials.
    """
    invoke = LambdaInvoke(
        backend.model,
        backend.url or endpoint("lambda", backend.region),
        backend.function,
        backend.model,
        auth=SigV4Auth("lambda", backend.region),
        operations=frozenset(model.operations),
    )
    return Asker(
        Bounded(invoke, backend.timeout + _LATE_SECONDS),
        Operation(record.batch.endpoint),
        most=model.max_tokens,
        name=record.batch.id,
        dollars_per_second=prices.busy(1) + prices.busy(1, WORKER_MB) / backend.parallel,
        dollars_per_request=prices.REQUEST,
    )


def server(model: Model, backend: GPUBackend, record: Record, url: str, require_alive: Callable[[], None]) -> Asker:
    """Asks the server beside which a container of a GPU job runs.

    Args:
        model: of the batch.
        backend: that was chosen.
        record: of the batch.
        url: of the server.
        require_alive: raises if it is gone.
    """
    return Asker(
        OpenAIHTTP(backend.model, url, backend.model, operations=frozenset(model.operations)),
        Operation(record.batch.endpoint),
        most=model.max_tokens,
        name=record.batch.id,
        # Of an instance that is shared by as many requests as there are at once.
        dollars_per_second=backend.hourly / 3600 / backend.parallel,
        require_alive=require_alive,
    )
