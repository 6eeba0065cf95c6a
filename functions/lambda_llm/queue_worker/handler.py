"""Answers the messages of an SQS queue: `handle` is the function of its event source mapping.

Each message is the body of a request for a chat completion. Its answer goes to another queue as `{"id": …,
"request_id": …, "response": …}`, with the message's id. SQS delivers at least once: a message that is delivered twice
is answered twice, with the same `id`.

The mapping must have `ReportBatchItemFailures`: a message that failed stays in the queue, until it goes to the dead
letter queue, and the others of its batch are neither lost nor answered again. Messages, answers and receipts are never
logged.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import logging
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from lambda_llm.aws.invoke import lambda_client
from lambda_llm.errors import LambdaLLMError
from lambda_llm.queue_worker.settings import QueueSettings
from lambda_llm.queue_worker.worker import BESIDE_ANSWER_SECONDS, FIFO, Worker

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_settings = QueueSettings.load()
_longest = _settings.answer_seconds + BESIDE_ANSWER_SECONDS
_worker = Worker(lambda_client(_longest), get_session().create_client("sqs"), _settings)


def handle(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Answer the records of an event one after the other; return those that failed, as Lambda expects it."""
    failed = list(_failed(event["Records"], context))
    for record in failed:
        try:
            _worker.retry(record)
        except (ClientError, BotoCoreError) as error:
            logger.warning("message %s is received again later: %s", record["messageId"], type(error).__name__)
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def _failed(records: list[dict[str, Any]], context: Any) -> Iterator[dict[str, Any]]:
    """Records without an answer. In a FIFO queue, whatever comes after the first one keeps its place behind it."""
    waits = False
    for record in records:
        # Lambda would end this invocation too, and return the messages that were answered.
        if waits or context.get_remaining_time_in_millis() < _longest * 1000:
            logger.warning("message %s was not tried: it is behind one that failed, or too late", record["messageId"])
            yield record
            continue
        try:
            _worker.answer(record)
        except Exception as error:  # noqa: BLE001 - one message must not undo the answers to others
            # Only what this package says itself is known to quote nobody.
            told = error if isinstance(error, LambdaLLMError) else f"unexpectedly, with {type(error).__name__}."
            logger.error("message %s failed: %s", record["messageId"], told)  # noqa: TRY400 - a traceback may quote
            waits = record["eventSourceARN"].endswith(FIFO)
            yield record
        else:
            logger.info("message %s was answered", record["messageId"])
