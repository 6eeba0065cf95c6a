"""What every endpoint answers with: the model, and the one thread that runs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from lambda_llm.api.errors import APIError
from lambda_llm.api.schema import Memory
from lambda_llm.api.worker import Worker
from lambda_llm.engine.errors import NotGenerativeError
from lambda_llm.engine.model import Model
from lambda_llm.engine.session_store import SessionStore
from lambda_llm.engine.template import ChatTemplate
from lambda_llm.settings import Weights


@dataclass(frozen=True)
class Served:
    """What is served.

    Attributes:
        model: ready to generate.
        template: its chat template.
        model_id: the name under which clients ask for it.
        placement: `copied` or `mapped`.
        memory: asked at each look at `/health`.
        sessions: where conversations are kept, or None.
        queue: requests that may wait while another is answered; more are refused with a 429.
        keepalive_seconds: silence in a stream after which a comment is sent.
        trust_user: whether the field `user` tells whose conversation it is.
    """

    model: Model
    template: ChatTemplate
    model_id: str
    placement: Weights
    memory: Callable[[], Memory]
    sessions: SessionStore | None = None
    queue: int = 16
    keepalive_seconds: float = 10.0
    trust_user: bool = False


@dataclass(frozen=True)
class Service:
    """What is served, at work.

    Attributes:
        served: the model and what belongs to it.
        worker: runs generations, one after another.
        created: when the service began, in seconds since 1970.
    """

    served: Served
    worker: Worker
    created: int = field(default_factory=lambda: int(time.time()))

    def check_model(self, name: str, *, generates: bool = True) -> None:
        """Refuse a request for another model, or for what this one can't do.

        Args:
            name: as the request gives it.
            generates: whether text is to be generated.

        Raises:
            APIError: 404, `model_not_found`, or 400, `unsupported_model`.
        """
        if name != self.served.model_id:
            raise APIError(
                HTTPStatus.NOT_FOUND,
                f"The model {name!r} does not exist here: this server has {self.served.model_id!r}.",
                param="model",
                code="model_not_found",
            )
        if generates and not self.served.model.generates:
            raise APIError(HTTPStatus.BAD_REQUEST, str(NotGenerativeError()), param="model", code="unsupported_model")
