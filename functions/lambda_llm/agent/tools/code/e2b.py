"""Code in E2B's sandboxes: a MicroVM per session, run by E2B.

The SDK: https://github.com/e2b-dev/code-interpreter
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lambda_llm.agent.errors import SandboxError, SandboxUnavailableError
from lambda_llm.agent.tools.code.backend import Backend, Session, SessionGoneError, token
from lambda_llm.agent.tools.code.notebook import FOLDER, NotebookSession

MISSING: Final = "Code in E2B takes its SDK: pip install 'lambda-llm[agent-e2b]'."


class E2BBackend(Backend):
    """Sandboxes of an account, without the internet unless it is allowed.

    Args:
        api_key: None: `E2B_API_KEY` of the environment.
        template: None: E2B's for code.
        session_seconds: without a call, after which a session pauses; E2B's plans bound it.
        internet: whether code may reach it.
        folder: of the code's files, in the sandbox.
        options: further ones of the SDK's `ApiParams`, such as `domain`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        template: str | None = None,
        session_seconds: int = 300,
        internet: bool = False,
        folder: str = FOLDER,
        options: dict[str, Any] | None = None,
    ) -> None:
        try:
            from e2b_code_interpreter import Sandbox  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SandboxUnavailableError(MISSING) from error
        self._sandbox: Any = Sandbox
        self._template, self._seconds, self._internet = template, session_seconds, internet
        self._folder = folder
        self._options = {"retries": 0, **({"api_key": api_key} if api_key else {}), **(options or {})}

    def find(self, session: str) -> Session | None:
        """As `Backend.find`; a paused one wakes."""
        try:
            with told():
                sandbox = self._sandbox.connect(session, timeout=self._seconds, **self._options)
        except SessionGoneError:
            return None
        return E2BSession(sandbox, self._folder, fresh=False)

    def start(self, key: str) -> Session:
        """As `Backend.start`."""
        with told():
            sandbox = self._sandbox.create(
                template=self._template,
                timeout=self._seconds,
                allow_internet_access=self._internet,
                lifecycle={"on_timeout": "pause"},
                idempotency_key=token(key),
                **self._options,
            )
        session = E2BSession(sandbox, self._folder, fresh=True)
        session.enter()
        return session


class E2BSession(NotebookSession):
    """A sandbox."""

    def __init__(self, sandbox: Any, folder: str, *, fresh: bool) -> None:
        self._sandbox, self.id, self.folder, self.fresh = sandbox, str(sandbox.sandbox_id), folder, fresh

    def _execute(self, code: str, seconds: float) -> Any:
        with told(running=True):
            return self._sandbox.run_code(code, **self.bounds(seconds))

    def suspend(self) -> None:
        """As `Session.suspend`: memory and disk stay."""
        with told():
            self._sandbox.pause()

    def close(self) -> None:
        """As `Session.close`."""
        with told():
            self._sandbox.kill()


@contextmanager
def told(*, running: bool = False) -> Iterator[None]:
    """Failures of the SDK as this package's; what they say stays out, because it may have been made of a request."""
    import e2b_code_interpreter as e2b  # noqa: PLC0415 - an extra

    try:
        yield
    except e2b.NotFoundException:
        raise SessionGoneError("The session has ended: E2B does not know it.") from None
    except e2b.AuthenticationException:
        raise SandboxUnavailableError("E2B refused the key: set E2B_API_KEY, or api_key of the backend.") from None
    except e2b.RateLimitException:
        raise SandboxError("E2B is busy (429), the code was not run: try again in a while.") from None
    except SandboxError:
        raise
    except Exception as error:  # noqa: BLE001 - also those of its HTTP client and of parsing
        status = getattr(error, "status_code", None)
        what = "gave no usable answer; the code may have run" if running else "failed"
        raise SandboxError(f"E2B {what} ({status or type(error).__name__}).", unknown=running) from None
