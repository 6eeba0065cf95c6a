"""Events that are no HTTP request: an OpenAI body that the function is invoked with, or what another service sent.

Both front doors treat them alike. Only a body gets an answer: a queue deletes the messages of an event that was
answered, whatever the answer says.
"""

import json
from typing import Any, Final

from lambda_llm.engine.engine import Engine
from lambda_llm.errors import LambdaLLMError

CHAT: Final = "/v1/chat/completions"

_OF_SERVICES: Final = (
    {"Records"},  # S3, SNS, SQS, Kinesis, DynamoDB
    {"detail-type", "source"},  # EventBridge
    {"eventSource"},  # Kafka, MQ, and single records
    {"awslogs"},  # CloudWatch Logs
    {"requestPayload", "requestContext"},  # a destination of another function
)
"""Fields by which the events of services are known.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html"""


class UnansweredEventError(LambdaLLMError):
    """An event that this function has no answer to; the invocation fails, so that nothing counts as done."""

    def __init__(self) -> None:
        super().__init__(
            "This function answers HTTP requests, and invocations with the JSON body of one, not the events of another "
            "service: give the event to a function of yours that sends a request for it."
        )


def require_answerable(event: Any) -> None:
    """Refuse an event of a service.

    A list of objects is one of EventBridge Pipes, which deletes the messages of a queue as well:
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html

    Raises:
        UnansweredEventError: see there.
    """
    piped = isinstance(event, list) and any(isinstance(record, dict) for record in event)
    if piped or (isinstance(event, dict) and any(fields <= event.keys() for fields in _OF_SERVICES)):
        raise UnansweredEventError


def path_of(engine: Engine, event: Any) -> str:
    """The path of the request that an event is the body of.

    It is that of chat completions, or for an encoder of reranking if the payload has documents, else of classification
    or embeddings, depending on the model.
    """
    if not engine.encodes:
        return CHAT
    if isinstance(event, dict) and "documents" in event:
        return "/v1/rerank"
    return "/v1/classify" if engine.encoder.labels else "/v1/embeddings"


def body_of(engine: Engine, event: Any) -> bytes:
    """The body of that request, with streaming off: such an invocation returns one result."""
    streams = isinstance(event, dict) and path_of(engine, event) == CHAT
    return json.dumps({**event, "stream": False} if streams else event).encode()
