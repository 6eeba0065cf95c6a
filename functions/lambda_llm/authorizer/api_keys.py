"""Bearer tokens that are keys: `sk-…`, looked up in DynamoDB at each request."""

import logging
import time

from lambda_llm.authorizer.caller import Caller, Kind
from lambda_llm.authorizer.errors import UnusableKeyError
from lambda_llm.authorizer.keys import hash_of
from lambda_llm.authorizer.settings import AuthorizerSettings
from lambda_llm.authorizer.table import KeyTable

logger = logging.getLogger(__name__)


class APIKeys:
    """Keys of a table. Nothing is remembered: whoever is revoked is refused as soon as API Gateway asks again."""

    def __init__(self, table: KeyTable) -> None:
        """Take the table."""
        self._table = table

    def recognizes(self, token: str) -> bool:
        """See `Kind`."""
        return token.startswith("sk-")

    def caller(self, token: str) -> Caller | None:
        """See `Kind`.

        Raises:
            KeyTableError: the table can't be read.
        """
        key_hash = hash_of(token)
        if key_hash is None:
            logger.info("refused: malformed key")
            return None
        try:
            key = self._table.find(key_hash)
        except UnusableKeyError as error:
            logger.error("refused: %s", error)  # noqa: TRY400 - the message is complete
            return None
        reason = "unknown" if key is None else key.refused(time.time())
        if key is None or reason is not None:
            logger.info("refused: %s key", reason, extra={"key_id": key.key_id if key else None})
            return None
        return Caller(key.tenant, key.plan, key.key_id, key.max_tokens)


def accepted(settings: AuthorizerSettings) -> list[Kind]:
    """Keys, if the settings name a table of them.

    Raises:
        KeyTableError: the region is not known.
    """
    return [] if settings.table is None else [APIKeys(KeyTable(settings.table))]
