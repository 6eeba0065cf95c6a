"""Code in Blaxel's sandboxes: a MicroVM per session, run by Blaxel.

The SDK: https://github.com/blaxel-ai/sdk-python
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lambda_llm.agent.errors import AgentDefinitionError, SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code.backend import Backend, Session, SessionGoneError, token
from lambda_llm.agent.tools.code.notebook import FOLDER, NotebookSession

MISSING: Final = "Code in Blaxel takes its SDK: pip install 'lambda-llm[agent-blaxel]'."
REFUSED: Final = "Blaxel refused the key: set BL_API_KEY and BL_WORKSPACE."
IDLE_LEAST: Final = 60
"""Seconds; of the SDK's `SyncSandboxInstance.create`."""

CREATE_SECONDS: Final = 50
"""The longest that the SDK takes for a creation's deadline."""

REQUEST_SECONDS: Final = 60.0
_NAME: Final = "lambda-llm-{}"
_NAME_HEX: Final = 32  # a name has at most 49 characters
_GONE: Final = {"DEACTIVATED", "DEACTIVATING", "DELETING", "FAILED", "TERMINATED"}
_STATUS: Final = re.compile(r"^- status: (\d{3})\b", re.MULTILINE)


class BlaxelBackend(Backend):
    """Sandboxes of a workspace; the key is `BL_API_KEY`, the workspace `BL_WORKSPACE` of the environment.

    Args:
        domains: the only ones that code may reach, such as `pypi.org` or `*.example.com`. The firewall then leaves no
            other way out than Blaxel's proxy, which filters by them (a public preview).
            Source: https://docs.blaxel.ai/Sandboxes/Proxy
        internet: whether code may reach all of it, which is what a sandbox without `domains` does.
        region: None: `BL_REGION`, or else Blaxel's choice.
        memory_mb: of a sandbox, in MiB.
        idle_seconds: without a call, after which a sandbox and its files are deleted. It suspends long before that.
        folder: of the code's files, in the sandbox.
    """

    def __init__(
        self,
        *,
        domains: tuple[str, ...] = (),
        internet: bool = False,
        region: str | None = None,
        memory_mb: int = 4096,
        idle_seconds: int = 1800,
        folder: str = FOLDER,
    ) -> None:
        if bool(domains) == internet:
            raise AgentDefinitionError(
                "A Blaxel sandbox reaches the internet unless its domains are listed: give domains=('pypi.org',), or "
                "say internet=True."
            )
        if idle_seconds < IDLE_LEAST:
            raise AgentDefinitionError(f"A Blaxel sandbox idles at least {IDLE_LEAST} s, not {idle_seconds:,}.")
        try:
            from blaxel.core import SyncCodeInterpreter, SyncSandboxInstance, client  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SandboxUnavailableError(MISSING) from error
        sdk: Any = client
        sdk.with_timeout(REQUEST_SECONDS)  # of the SDK's one client, which has none
        self._sandbox: Any = SyncSandboxInstance
        self._interpreter: Any = SyncCodeInterpreter
        self._folder = folder
        closed = {"firewall": {"rulesets": ["proxy"]}, "proxy": {"allowedDomains": list(domains)}}
        # The SDK's own way to an interpreter leaves out `network`.
        self._settings: dict[str, Any] = {
            "image": SyncCodeInterpreter.DEFAULT_IMAGE,
            "ports": SyncCodeInterpreter.DEFAULT_PORTS,
            "lifecycle": {
                "expirationPolicies": [{"type": "ttl-idle", "value": f"{idle_seconds}s", "action": "delete"}]
            },
            "memory": memory_mb,
            **({"network": closed} if domains else {}),
            **({"region": region} if region else {}),
        }

    def find(self, session: str) -> Session | None:
        """As `Backend.find`; a suspended one wakes by the first call."""
        try:
            with told():
                found = self._sandbox.get(session)
        except SessionGoneError:
            return None
        return None if str(found.status) in _GONE else self._session(found, fresh=False)

    def start(self, key: str) -> Session:
        """As `Backend.start`."""
        settings = {**self._settings, "name": _NAME.format(token(key)[:_NAME_HEX])}
        with told():
            started = self._sandbox.create(settings, create_if_not_exist=True, timeout=CREATE_SECONDS)
        session = self._session(started, fresh=True)
        session.enter()
        return session

    def _session(self, sandbox: Any, *, fresh: bool) -> "BlaxelSession":
        return BlaxelSession(self._interpreter(sandbox=sandbox.sandbox), self._folder, fresh=fresh)


class BlaxelSession(NotebookSession):
    """A sandbox. It suspends by itself some seconds after a call, with its memory."""

    def __init__(self, interpreter: Any, folder: str, *, fresh: bool) -> None:
        self._interpreter, self.folder, self.fresh = interpreter, folder, fresh
        self.id = str(interpreter.metadata.name)

    def _execute(self, code: str, seconds: float) -> Any:
        with told(running=True):
            return self._interpreter.run_code(code, **self.bounds(seconds))

    def close(self) -> None:
        """As `Session.close`."""
        try:
            with told():
                self._interpreter.delete()
        except SessionGoneError:
            return


@contextmanager
def told(*, running: bool = False) -> Iterator[None]:
    """Failures of the SDK as this package's; what they say stays out: it has URLs, headers and bodies."""
    from blaxel.core.authentication import CredentialsError  # noqa: PLC0415 - an extra

    try:
        yield
    except CredentialsError:
        raise SandboxUnavailableError(REFUSED) from None
    except SandboxError:
        raise
    except Exception as error:  # noqa: BLE001 - also those of its HTTP client and of parsing
        raise _told(error, running=running) from None


def _told(error: Exception, *, running: bool) -> Exception:
    status = getattr(error, "status_code", None)
    if status is None and (found := _STATUS.search(str(error))):  # what `run_code` raises has it in its text alone
        status = int(found[1])
    match status:
        case 401 | 403:
            return SandboxUnavailableError(REFUSED)
        case 404:
            return SessionGoneError("The session has ended: Blaxel does not know it.")
        case 429:
            return SandboxError("Blaxel is busy (429), the code was not run: try again in a while.")
    what = "gave no usable answer; the code may have run" if running else "failed"
    return SandboxError(f"Blaxel {what} ({status or type(error).__name__}).", unknown=running)
