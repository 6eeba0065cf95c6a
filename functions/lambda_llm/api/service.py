"""What every endpoint answers with: the model, and the one thread that runs it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from lambda_llm.api.errors import APIError
from lambda_llm.api.schema import Memory
from lambda_llm.api.worker import Worker
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
    """

    model: Model
    template: ChatTemplate
    model_id: str
    placement: Weights
    memory: Callable[[], Memory]
    sessions: SessionStore | None = None


@dataclass(frozen=True)
class Service:
    """What is served, at work.

    Attributes:
        served: the model and what belongs to it.
        worker: runs generations, one after another.
        created: when the service began, in seconds since 1970.
    """

    served: Served
    worker: Worker = field(default_factory=Worker)
    created: int = field(default_factory=lambda: int(time.time()))

    def check_model(self, name: str) -> None:
        """Refuse a request for another model.

        Raises:
            APIError: 404, `model_not_found`.
        """
        if name != self.served.model_id:
            raise APIError(
                HTTPStatus.NOT_FOUND,
                f"The model {name!r} does not exist here: this server has {self.served.model_id!r}.",
                param="model",
                code="model_not_found",
            )
