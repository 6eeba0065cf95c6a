"""Code in AWS Lambda MicroVMs: a virtual machine per session, of an image that runs `microvm_server.py`.

Shapes: https://docs.aws.amazon.com/lambda/latest/dg/lambda-microvms-guide.html and botocore's model `lambda-microvms`.
"""

import base64
import json
import time
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from lambda_llm.agent.errors import AgentDefinitionError, SandboxError
from lambda_llm.agent.tools.code.aws import client, told
from lambda_llm.agent.tools.code.backend import (
    FILE_MOST,
    Backend,
    File,
    Run,
    Session,
    SessionGoneError,
    check_path,
    files_of,
    run_of,
    token,
)

SERVICE: Final = "Lambda MicroVMs"
LIFE_MOST: Final = 28_800
"""Seconds of a MicroVM's life, suspended or not: `maximumDurationInSeconds` of botocore's model."""

IDLE_LEAST: Final = 60
TOKEN_MINUTES: Final = 60
TOKEN_HEADER: Final = "X-aws-proxy-auth"  # noqa: S105 - its name
_GONE: Final = {"TERMINATING", "TERMINATED"}
_ANSWER_MOST: Final = 2 * FILE_MOST
_START_SECONDS: Final = 60
_UNREADY: Final = {502, 503, 504}


class _NotYetError(SandboxError):
    """The MicroVM is on its way, or was."""


class MicroVMBackend(Backend):
    """MicroVMs of one image.

    Args:
        image: ARN or id of the image.
        egress: ARNs of VPC egress connectors, whose subnets and security groups say what code can reach.
        internet: whether code may reach the internet, which is what a MicroVM without connectors does.
            Source: https://docs.aws.amazon.com/lambda/latest/dg/microvms-networking.html
        role: ARN of a role for the code, whose credentials it can read; None: none.
        life_seconds: that a session lives.
        idle_seconds: without a request, after which it is suspended.
        port: of the server in the image.
        region: None: boto3's.
        endpoint: another address of the service.
        scheme: of the MicroVM's endpoint, where that names none.
    """

    def __init__(  # noqa: PLR0913 - a setting each, by name
        self,
        image: str,
        *,
        egress: tuple[str, ...] = (),
        internet: bool = False,
        role: str | None = None,
        life_seconds: int = LIFE_MOST,
        idle_seconds: int = IDLE_LEAST,
        port: int = 8080,
        region: str | None = None,
        endpoint: str | None = None,
        scheme: str = "https",
    ) -> None:
        if not 0 < life_seconds <= LIFE_MOST or not IDLE_LEAST <= idle_seconds <= life_seconds:
            raise AgentDefinitionError(
                f"A MicroVM lives at most {LIFE_MOST:,} s and idles at least {IDLE_LEAST} s, "
                f"not {life_seconds:,} and {idle_seconds:,}."
            )
        if not egress and not internet:
            raise AgentDefinitionError(
                "A MicroVM reaches the internet unless it has a VPC egress connector: give egress=(its ARN,), or say "
                "internet=True."
            )
        self._settings: dict[str, Any] = {
            "imageIdentifier": image,
            **({"egressNetworkConnectors": list(egress)} if egress else {}),
            "logging": {"disabled": {}},
            "maximumDurationInSeconds": life_seconds,
            "idlePolicy": {
                "maxIdleDurationSeconds": idle_seconds,
                "suspendedDurationSeconds": life_seconds,
                "autoResumeEnabled": True,
            },
            **({"executionRoleArn": role} if role else {}),
        }
        self._port, self._scheme = port, scheme
        self._client = client("lambda-microvms", region=region, endpoint=endpoint, seconds=60)

    def find(self, session: str) -> Session | None:
        """As `Backend.find`; a suspended one wakes by the first request."""
        try:
            with told(SERVICE):
                found = self._client.get_microvm(microvmIdentifier=session)
        except SessionGoneError:
            return None
        return None if found["state"] in _GONE else self._session(found)

    def start(self, key: str) -> Session:
        """As `Backend.start`."""
        try:
            with told(SERVICE):
                started = self._client.run_microvm(**self._settings, clientToken=token(key))
        except SessionGoneError:
            image = self._settings["imageIdentifier"]
            raise SandboxError(f"There is no image {image} of {SERVICE} in this account and region.") from None
        return self._session(started)

    def _session(self, microvm: dict[str, Any]) -> "MicroVMSession":
        address = str(microvm["endpoint"])
        if not urlsplit(address).scheme or "://" not in address:
            address = f"{self._scheme}://{address}"
        return MicroVMSession(self._client, str(microvm["microvmId"]), address, self._port)


class MicroVMSession(Session):
    """A MicroVM. Whether it is fresh, its server says, which waits until it is there."""

    def __init__(self, client: Any, name: str, address: str, port: int) -> None:
        self._client, self.id, self._address, self._port = client, name, address.rstrip("/"), port
        with told(SERVICE):
            tokens = client.create_microvm_auth_token(
                microvmIdentifier=name, expirationInMinutes=TOKEN_MINUTES, allowedPorts=[{"port": port}]
            )["authToken"]
        if TOKEN_HEADER not in tokens:
            raise SandboxError(f"{SERVICE} gave no token for its proxy.")
        self._headers = {TOKEN_HEADER: tokens[TOKEN_HEADER], "X-aws-proxy-port": str(port)}
        self.fresh = self._ready().get("used") is not True

    def run(self, code: str, seconds: float) -> Run:
        """As `Session.run`."""
        soft = max(seconds - 2, seconds / 2)
        said = self._ask("run", {"code": code, "seconds": soft}, seconds, running=True)
        return run_of(
            ok=said.get("ok") is True,
            stdout=said.get("stdout"),
            stderr=said.get("stderr"),
            value=said.get("value"),
            error=said.get("error"),
            line=said.get("line"),
            truncated=said.get("truncated") is True,
        )

    def write(self, path: str, content: bytes) -> None:
        """As `Session.write`."""
        self._ask("write", {"path": check_path(path), "content": base64.b64encode(content).decode()})

    def read(self, path: str, most: int) -> bytes:
        """As `Session.read`."""
        said = self._ask("read", {"path": check_path(path), "most": min(most, FILE_MOST)})
        try:
            return base64.b64decode(said["content"], validate=True)[:most]
        except (KeyError, TypeError, ValueError):
            raise SandboxError(f"The MicroVM's server gave no content of {path}.") from None

    def files(self) -> dict[str, File]:
        """As `Session.files`."""
        try:
            return files_of(self._ask("files", {}).get("files"))
        except ValueError:
            raise SandboxError("The MicroVM's server gave no list of files.") from None

    def suspend(self) -> None:
        """As `Session.suspend`: memory and disk stay, and cost storage alone."""
        try:
            with told(SERVICE):
                self._client.suspend_microvm(microvmIdentifier=self.id)
        except SessionGoneError:
            return

    def close(self) -> None:
        """As `Session.close`."""
        try:
            with told(SERVICE):
                self._client.terminate_microvm(microvmIdentifier=self.id)
        except SessionGoneError:
            return

    def _ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self._answer("GET", "/", None, 10)
            except _NotYetError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _ask(
        self, operation: str, request: dict[str, Any], seconds: float = 60, *, running: bool = False
    ) -> dict[str, Any]:
        said = self._answer("POST", f"/{operation}", request, seconds, running=running)
        if said.get("ended") is True:
            raise SandboxError("The code ended its interpreter, or was stopped with it; variables are gone.")
        if "refused" in said:
            raise SandboxError(f"The MicroVM refused it: {str(said['refused'])[:300]}.")
        return said

    def _answer(
        self, method: str, path: str, request: dict[str, Any] | None, seconds: float, *, running: bool = False
    ) -> dict[str, Any]:
        """An answer of the server. Errors never tell the request, whose headers have a token."""
        try:
            with httpx2.stream(
                method, self._address + path, json=request, headers=self._headers, timeout=seconds
            ) as answer:
                status = answer.status_code
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _ANSWER_MOST:
                        raise SandboxError("The MicroVM's answer is too long.", unknown=running)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise _NotYetError("The MicroVM can't be reached.") from None
        except httpx2.HTTPError as error:
            what = "gave no answer; the code may have run" if running else "gave no answer"
            raise SandboxError(f"The MicroVM {what} ({type(error).__name__}).", unknown=running) from None
        if status in (401, 403):
            raise SandboxError(f"The MicroVM's proxy refused the token ({status}).")
        if status in _UNREADY and not running:
            raise _NotYetError(f"The MicroVM is not ready (status {status}).")
        if status != httpx2.codes.OK:
            unknown = running and status >= 500  # noqa: PLR2004 - the server's failures
            raise SandboxError(f"The MicroVM failed with status {status}.", unknown=unknown)
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise SandboxError("The MicroVM's answer is no JSON object.", unknown=running)
        return said
