"""Executions of agents, through Lambda's API: started, listed, read, answered and stopped; real or local."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from lambda_llm.agent.errors import AgentError
from lambda_llm.agent.show import RUNNING, Timeline, timeline

READ_SECONDS: Final = 30
PAGE: Final = 1000


class Executions:
    """The executions of an account, or of a local durable service."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Make a client.

        Args:
            endpoint: URL of a local durable service; by default Lambda's, or `AWS_ENDPOINT_URL_LAMBDA`.
        """
        local: dict[str, Any] = {}
        if endpoint:
            local = {
                "endpoint_url": endpoint,
                "region_name": "us-east-1",
                "aws_access_key_id": "local",
                "aws_secret_access_key": "local",
            }
        config = Config(read_timeout=READ_SECONDS, retries={"total_max_attempts": 3, "mode": "standard"})
        try:
            self.client: Any = get_session().create_client("lambda", config=config, **local)
        except BotoCoreError as error:
            raise AgentError(f"There is no client of Lambda: {error}") from error

    def start(self, function: str, task: str, name: str, tenant: str | None = None) -> str:
        """Start an execution; returns its ARN.

        Args:
            function: name or ARN of the agent's function, with its alias.
            task: for the agent.
            name: of the execution; a second start under the same name starts nothing.
            tenant: whose state it is.
        """
        payload = json.dumps({"task": task} | ({"tenant": tenant} if tenant else {}))
        asked = {"FunctionName": function, "InvocationType": "Event", "DurableExecutionName": name, "Payload": payload}
        arn = self._call("invoke", **asked).get("DurableExecutionArn")
        if not arn:
            raise AgentError(
                f"{function} is no durable function: name the alias of one, as modules/durable-agent makes."
            )
        return str(arn)

    def listed(self, function: str, qualifier: str | None = None) -> Iterator[Mapping[str, Any]]:
        """Executions of a function, newest first."""
        asked: dict[str, Any] = {"FunctionName": function, "ReverseOrder": True, "MaxItems": PAGE}
        if qualifier:
            asked["Qualifier"] = qualifier
        while True:
            page = self._call("list_durable_executions_by_function", **asked)
            yield from page.get("DurableExecutions", ())
            if not page.get("NextMarker"):
                return
            asked["Marker"] = page["NextMarker"]

    def read(self, arn: str) -> Timeline:
        """The timeline of an execution."""
        execution = self._call("get_durable_execution", DurableExecutionArn=arn, IncludeExecutionData=True)
        return timeline(execution, list(self._events(arn)))

    def running(self, arn: str) -> bool:
        """Whether an execution has not ended."""
        return self._call("get_durable_execution", DurableExecutionArn=arn)["Status"] in RUNNING

    def answer(self, callback: str, action: str, by: str, comment: str = "", content: Any = None) -> None:
        """Answer a question.

        Args:
            callback: its id.
            action: `approve` or `deny`.
            by: who decides.
            comment: told to the agent.
            content: by the question's schema, where it has one.
        """
        said = {"action": action, "by": by, "comment": comment, "content": content}
        given = {name: value for name, value in said.items() if value not in (None, "")}
        self._call("send_durable_execution_callback_success", CallbackId=callback, Result=json.dumps(given).encode())

    def stop(self, arn: str, why: str) -> None:
        """End an execution now; what it waits for is no longer waited for, and what was done stays done."""
        error = {"ErrorType": "Stopped", "ErrorMessage": why[:1000]}
        self._call("stop_durable_execution", DurableExecutionArn=arn, Error=error)

    def _events(self, arn: str) -> Iterator[Mapping[str, Any]]:
        asked: dict[str, Any] = {"DurableExecutionArn": arn, "IncludeExecutionData": True, "MaxItems": PAGE}
        while True:
            page = self._call("get_durable_execution_history", **asked)
            yield from page["Events"]
            if not page.get("NextMarker"):
                return
            asked["Marker"] = page["NextMarker"]

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self.client, operation)(**arguments)
        except ClientError as error:
            said = error.response["Error"]
            raise AgentError(f"{said.get('Code', 'Unknown')}: {said.get('Message', 'no message')}"[:500]) from error
        except BotoCoreError as error:
            raise AgentError(f"Lambda can't be asked: {error}") from error
        return answer
