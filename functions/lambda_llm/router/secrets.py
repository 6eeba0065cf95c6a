"""Backends' keys, read where they are kept when a request needs them: never before a snapshot, and nowhere written."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from lambda_llm.aws import clients
from lambda_llm.backends.auth import Key
from lambda_llm.router.errors import SecretError

KEPT_SECONDS: Final = 300.0
"""How long a key is used without being read again; one that a backend refuses is read again at once."""

REFUSED_SECONDS: Final = 10.0
"""How soon a key may be read again after that: a backend that refuses a right key must not make a storm of reads."""

_LENGTH: Final = 8192
"""Longest key: what servers take as a header."""


class Secrets:
    """Keys by ARN, of Secrets Manager or of SSM's parameters. They are in memory only, until `forget`.

    The router's role needs `secretsmanager:GetSecretValue` or `ssm:GetParameter` for exactly these, and `kms:Decrypt`
    where they have a key of their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is read.

        Args:
            clock: time in seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}
        self._clients: dict[tuple[str, str], Any] = {}

    def key(self, arn: str) -> Key:
        """What gives a backend its key.

        Args:
            arn: of a secret, or of a parameter.

        The key raises SecretError where it can't be read.
        """

        async def key(refused: str | None) -> str:
            if (known := self._known.get(arn)) is not None:
                text, at = known
                if refused is not None and text != refused:
                    return text  # another request has read it meanwhile
                if self._clock() - at < (KEPT_SECONDS if refused is None else REFUSED_SECONDS):
                    return text
            found = await asyncio.to_thread(self._read, arn)
            self._known[arn] = (found, self._clock())
            return found

        return key

    def forget(self) -> None:
        """Forget every key and close the connections: a snapshot must contain neither."""
        with self._lock:
            self._known.clear()
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _read(self, arn: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded when it is needed

        service, region, name = arn.split(":", 5)[2], arn.split(":", 5)[3], arn.split(":", 5)[5]
        try:
            client = self._client(service, region)
            if service == "secretsmanager":
                text = client.get_secret_value(SecretId=arn).get("SecretString")
            else:
                parameter = name.removeprefix("parameter")
                parameter = parameter if parameter.count("/") > 1 else parameter.removeprefix("/")
                text = client.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
        except ClientError as error:
            raise SecretError(
                arn, f"{error.response['Error'].get('Code')}: check that it exists and the role may read it"
            ) from None
        except BotoCoreError as error:
            raise SecretError(arn, f"{type(error).__name__}: check region and network") from None
        text = (text or "").strip()
        if not text or len(text) > _LENGTH or not (text.isascii() and text.isprintable()):
            raise SecretError(arn, f"it is no key of at most {_LENGTH:,} printable characters: store the key alone")
        return text

    def _client(self, service: str, region: str) -> Any:
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = clients.create(service, region)
            return self._clients[service, region]
