"""Code in Amazon Bedrock AgentCore's Code Interpreter: a MicroVM per session, run by AWS.

Shapes: https://docs.aws.amazon.com/bedrock-agentcore/latest/APIReference/API_InvokeCodeInterpreter.html
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from lambda_llm.agent.errors import AgentDefinitionError, SandboxError
from lambda_llm.agent.tools.code.aws import client, told
from lambda_llm.agent.tools.code.backend import (
    LISTED_MOST,
    OUTPUT_MOST,
    Backend,
    File,
    Run,
    Session,
    SessionGoneError,
    check_path,
    run_of,
    token,
)

SERVICE: Final = "AgentCore Code Interpreter"
SESSION_MOST: Final = 28_800
"""Seconds that a session may live, whatever it does.
Source: https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/code-interpreter-session-characteristics.html"""

SYSTEM: Final = "aws.codeinterpreter.v1"
"""The interpreter that every account has.
Source: https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/code-interpreter-start-session.html"""

_EVENTS_MOST: Final = 1_000
_LIST: Final = f"find . -type f -printf '%s %C@.%i %P\\n' | head -n {LISTED_MOST}"
_LISTED: Final = re.compile(r"(\d{1,18}) ([\d.]{1,100}) (.+)")


class AgentCoreBackend(Backend):
    """Sessions of a code interpreter. Whether its code reaches the internet is set where it was created.

    Args:
        identifier: of the interpreter.
        session_seconds: that a session lives; a longer wait means a new one.
        seconds: of silence after which a request has failed.
        region: None: boto3's.
        endpoint: another address of the service, such as a VPC endpoint's.
    """

    def __init__(
        self,
        identifier: str = SYSTEM,
        *,
        session_seconds: int = 3_600,
        seconds: float = 300,
        region: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        if not 60 <= session_seconds <= SESSION_MOST:  # noqa: PLR2004 - the service recommends as much
            raise AgentDefinitionError(
                f"A session of {SERVICE} lives 60 to {SESSION_MOST:,} s, not {session_seconds:,}."
            )
        self._identifier, self._session_seconds = identifier, session_seconds
        self._client = client("bedrock-agentcore", region=region, endpoint=endpoint, seconds=seconds)

    def find(self, session: str) -> Session | None:
        """As `Backend.find`."""
        try:
            with told(SERVICE):
                found = self._client.get_code_interpreter_session(
                    codeInterpreterIdentifier=self._identifier, sessionId=session
                )
        except SessionGoneError:
            return None
        if found.get("status") != "READY":
            return None
        return AgentCoreSession(self._client, self._identifier, session, fresh=False)

    def start(self, key: str) -> Session:
        """As `Backend.start`."""
        try:
            with told(SERVICE):
                started = self._client.start_code_interpreter_session(
                    codeInterpreterIdentifier=self._identifier,
                    name="lambda-llm",
                    sessionTimeoutSeconds=self._session_seconds,
                    clientToken=token(key),
                )
        except SessionGoneError:
            raise SandboxError(f"There is no code interpreter {self._identifier} in this account and region.") from None
        return AgentCoreSession(self._client, self._identifier, str(started["sessionId"]), fresh=True)


class AgentCoreSession(Session):
    """A session of a code interpreter."""

    def __init__(self, client: Any, identifier: str, name: str, *, fresh: bool) -> None:
        self._client, self._identifier, self.id, self.fresh = client, identifier, name, fresh

    def run(self, code: str, seconds: float) -> Run:  # noqa: ARG002 - the caller goes on by itself
        """As `Session.run`; the service has no time limit of a call."""
        texts: dict[str, list[str]] = {"stdout": [], "stderr": [], "text": []}
        failed = False
        said = False
        for result in self._invoke("executeCode", {"code": code, "language": "python"}):
            said = True
            structured = result.get("structuredContent") or {}
            failed = failed or bool(result.get("isError")) or structured.get("exitCode") not in (None, 0)
            for name in ("stdout", "stderr"):
                texts[name].append(str(structured.get(name) or "")[: OUTPUT_MOST + 1])
            if not structured:
                texts["text"] += [str(block.get("text") or "")[: OUTPUT_MOST + 1] for block in result["content"]]
        if not said:
            raise SandboxError(f"{SERVICE} gave no result; the code may have run.", unknown=True)
        stdout, stderr, text = ("".join(texts[name]) for name in ("stdout", "stderr", "text"))
        last = (stderr or text).strip().rpartition("\n")[2]
        return run_of(ok=not failed, stdout=stdout or ("" if failed else text), stderr=stderr, error=last)

    def write(self, path: str, content: bytes) -> None:
        """As `Session.write`."""
        self._done("writeFiles", {"content": [{"path": check_path(path), "blob": content}]})

    def read(self, path: str, most: int) -> bytes:
        """As `Session.read`."""
        for result in self._done("readFiles", {"paths": [check_path(path)]}):
            for block in result["content"]:
                resource = block.get("resource") or {}
                if "blob" in resource:
                    return bytes(resource["blob"][:most])
                if "text" in resource:
                    return str(resource["text"]).encode()[:most]
        raise SandboxError(f"{SERVICE} gave no content of {path}.")

    def files(self) -> dict[str, File]:
        """As `Session.files`."""
        found = {}
        for result in self._done("executeCommand", {"command": _LIST}):
            for line in str((result.get("structuredContent") or {}).get("stdout") or "").splitlines():
                if listed := _LISTED.fullmatch(line):
                    found[listed[3]] = File(int(listed[1]), listed[2])
        return found

    def close(self) -> None:
        """As `Session.close`."""
        try:
            with told(SERVICE):
                self._client.stop_code_interpreter_session(
                    codeInterpreterIdentifier=self._identifier, sessionId=self.id, clientToken=token(self.id)
                )
        except SessionGoneError:
            return

    def _done(self, name: str, arguments: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Results of something that runs no code of the model, where an error is one."""
        results = list(self._invoke(name, arguments))
        for result in results:
            if result.get("isError"):
                texts = " ".join(str(block.get("text") or "") for block in result["content"])
                raise SandboxError(f"{SERVICE} refused {name}: {texts[:300]}")
        return results

    def _invoke(self, name: str, arguments: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        running = name == "executeCode"
        with told(SERVICE, running=running):
            answer = self._client.invoke_code_interpreter(
                codeInterpreterIdentifier=self._identifier, sessionId=self.id, name=name, arguments=arguments
            )
            with closing(answer["stream"]) as stream:
                for number, event in enumerate(stream):
                    if number >= _EVENTS_MOST:
                        raise SandboxError(f"{SERVICE} answers without an end.", unknown=running)
                    if "result" in event:
                        yield event["result"]
