"""What every endpoint uses: the engine, its options, and the thread that runs it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import NotGenerativeError
from lambda_llm.limits import MIB
from lambda_llm.serving.errors import explain
from lambda_llm.serving.worker import Worker
from lambda_llm.web.errors import APIError
from lambda_llm.web.origin import Tenancy


@dataclass(frozen=True)
class FunctionEnvironment:
    """The environment of a function that a server runs in.

    Attributes:
        id: random; every environment has one of its own.
        function: the function's name.
        version: of the function; None if the host does not tell.
        initialization: how it was initialized: `snap-start`, `on-demand`, …; None if the host does not tell.
        memory_mb: the function's configured memory; None if the host does not tell.
        restored: whether it was restored from a snapshot.
        age_seconds: since it was restored or initialized.
    """

    id: str
    function: str
    version: str | None
    initialization: str | None
    memory_mb: int | None
    restored: bool
    age_seconds: float


@dataclass(frozen=True)
class ServingOptions:
    """How an engine is served.

    Attributes:
        model_id: the model's name in responses and in the list of models, without spaces.
        aliases: further ids in the list of models.
        names: further names that requests may give.
        queue: requests that may wait while another runs; more are refused with a 429.
        keep_alive_seconds: idle time of a stream after which a keep-alive comment is sent.
        answer_seconds: time that a request may take, from the end of its planning.
        max_tokens: maximum length of any choice in tokens, whatever a request says; None: what the context allows.
        response_bytes: maximum size of a response that is returned in one piece.
        parse_control: parse the text of control tokens in messages into these tokens, instead of as plain text.
        tenancy: who says whose a request is.
        resident_before: resident memory of this process before the model was loaded, in bytes.
        checksums: that the model was verified by.
        environment: describes the function's environment; None: the server is not in one.
    """

    model_id: str
    aliases: Sequence[str] = ()
    names: Sequence[str] = ()
    queue: int = 16
    keep_alive_seconds: float = 10.0
    answer_seconds: float = 900.0
    max_tokens: int | None = None
    response_bytes: int = 32 * MIB
    parse_control: bool = False
    tenancy: Tenancy = Tenancy.NONE
    resident_before: int = 0
    checksums: Sequence[str] = ()
    environment: Callable[[], FunctionEnvironment] | None = None


@dataclass(frozen=True)
class Service:
    """An engine being served.

    Attributes:
        engine: the model with its context and caches.
        options: how it is served.
        worker: runs generations, one after another.
        created: start of the service, as a Unix timestamp in seconds.
    """

    engine: Engine
    options: ServingOptions
    worker: Worker
    created: int = field(default_factory=lambda: int(time.time()))

    def check_model(self, name: str | None) -> None:
        """Refuse a request for another model.

        Args:
            name: as the request gives it; None: it names none, which is the one that is served.

        Raises:
            APIError: 404, `model_not_found`.
        """
        if name is not None and name not in {self.options.model_id, *self.options.aliases, *self.options.names}:
            raise APIError(
                HTTPStatus.NOT_FOUND,
                f"The model {name!r} does not exist here: this server has {self.options.model_id!r}.",
                param="model",
                code="model_not_found",
            )

    def check_generates(self, name: str | None) -> None:
        """Refuse a request to generate text with another model, or with an encoder.

        Args:
            name: as the request gives it, or None.

        Raises:
            APIError: 404, `model_not_found`, or 400, `unsupported_model`.
        """
        self.check_model(name)
        try:
            _ = self.engine.decoder
        except NotGenerativeError as error:
            raise explain(error, "model") from error
