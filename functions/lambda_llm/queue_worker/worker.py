"""One message: asks the function, and sends what it answers."""

import json
import re
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.aws.invoke import Answer, ask
from lambda_llm.limits import SQS_MESSAGE_BYTES
from lambda_llm.queue_worker.errors import UnansweredMessageError
from lambda_llm.queue_worker.settings import QueueSettings

PATH: Final = "/v1/chat/completions"
FIFO: Final = ".fifo"
"""What the names of FIFO queues end in."""

BESIDE_ANSWER_SECONDS: Final = 15
"""Time that a message takes beside the function's timeout: a restore, the way there, and sending the answer."""

OK: Final = 200
CODE: Final = re.compile(r"[a-z0-9_.]{1,64}")
"""An error's code, which is the function's own word; a message may quote the prompt."""


class Worker:
    """Answers messages, each of which is the body of a request for a chat completion."""

    def __init__(self, functions: Any, queues: Any, settings: QueueSettings) -> None:
        """Take the clients of Lambda and SQS."""
        self._functions = functions
        self._queues = queues
        self._settings = settings

    def answer(self, record: dict[str, Any]) -> None:
        """Ask the function for a record's answer, and send it.

        Args:
            record: of an event of SQS.

        Raises:
            UnansweredMessageError: it is no request, or the answer was refused.
            InvocationError: the function was not invoked, or failed.
        """
        answer = ask(self._functions, self._settings.function, PATH, _body(record["body"]), record["messageId"])
        if answer.status != OK:
            raise UnansweredMessageError(f"The function answered with status {answer.status}{_code(answer)}.")
        self._send(record, answer)

    def retry(self, record: dict[str, Any]) -> None:
        """Let a message that failed be received again soon, and not when its queue's visibility timeout ends.

        Raises:
            ClientError, BotoCoreError: SQS refused; the message comes back later.
        """
        self._queues.change_message_visibility(
            QueueUrl=self._settings.requests,
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=self._settings.retry_seconds,
        )

    def _send(self, record: dict[str, Any], answer: Answer) -> None:
        try:
            response = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise UnansweredMessageError("The function's answer is no JSON.") from None
        sent = {"id": record["messageId"], "request_id": answer.request_id, "response": response}
        text = json.dumps(sent)  # ASCII: SQS refuses some characters
        try:
            self._queues.send_message(QueueUrl=self._settings.answers, MessageBody=text, **self._order(record))
        except ClientError as error:
            raise UnansweredMessageError(
                f"The queue for answers refused one of {len(text)} bytes ({error.response['Error']['Code']}): it "
                f"takes what its own limit on messages allows, at most {SQS_MESSAGE_BYTES}; lower max_tokens, or raise "
                "the queue's max_message_size."
            ) from None
        except BotoCoreError as error:
            raise UnansweredMessageError(f"The answer could not be sent: {type(error).__name__}.") from None

    def _order(self, record: dict[str, Any]) -> dict[str, str]:
        """What a FIFO queue must be told: answers keep the order of their group, and one sent twice is dropped."""
        if not self._settings.answers.endswith(FIFO):
            return {}
        group = record["attributes"].get("MessageGroupId", record["messageId"])
        return {"MessageGroupId": group, "MessageDeduplicationId": record["messageId"]}


def _body(text: str) -> bytes:
    """The request, with streaming off."""
    try:
        return json.dumps({**json.loads(text), "stream": False}).encode()
    except (ValueError, TypeError, RecursionError):
        raise UnansweredMessageError(
            "The message is no JSON object: send the body of a request for a chat completion."
        ) from None


def _code(answer: Answer) -> str:
    try:
        code = json.loads(answer.body)["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" ({code})" if isinstance(code, str) and CODE.fullmatch(code) else ""
