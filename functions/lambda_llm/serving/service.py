"""What every endpoint uses: the engine, its options, and the thread that runs it."""

import time
from dataclasses import dataclass, field
from http import HTTPStatus

from lambda_llm.engine.engine import Engine
from lambda_llm.engine.errors import NotGenerativeError
from lambda_llm.serving.errors import APIError, explain
from lambda_llm.serving.worker import Worker


@dataclass(frozen=True)
class ServingOptions:
    """How an engine is served.

    Attributes:
        model_id: the model's name in requests and responses.
        queue: requests that may wait while another runs; more are refused with a 429.
        keep_alive_seconds: idle time of a stream after which a keep-alive comment is sent.
        trust_user: whether the field `user` identifies a request's tenant.
        resident_before: resident memory of this process before the model was loaded, in bytes.
    """

    model_id: str
    queue: int = 16
    keep_alive_seconds: float = 10.0
    trust_user: bool = False
    resident_before: int = 0


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

    def check_model(self, name: str) -> None:
        """Refuse a request for another model.

        Args:
            name: as the request gives it.

        Raises:
            APIError: 404, `model_not_found`.
        """
        if name != self.options.model_id:
            raise APIError(
                HTTPStatus.NOT_FOUND,
                f"The model {name!r} does not exist here: this server has {self.options.model_id!r}.",
                param="model",
                code="model_not_found",
            )

    def check_generates(self, name: str) -> None:
        """Refuse a request to generate text with another model, or with an encoder.

        Args:
            name: as the request gives it.

        Raises:
            APIError: 404, `model_not_found`, or 400, `unsupported_model`.
        """
        self.check_model(name)
        try:
            _ = self.engine.decoder
        except NotGenerativeError as error:
            raise explain(error, "model") from error
