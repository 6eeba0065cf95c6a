"""Uploads that start batches: every object below `inbox/` becomes one, once, at its upload or by a schedule."""

import hashlib
import json
import logging
from typing import Any, Final

from lambda_llm.backends.contract import Operation
from lambda_llm.batch.config import Configuration
from lambda_llm.batch.errors import BatchConfigurationError
from lambda_llm.batch.lines import LineError, parse, split
from lambda_llm.batch.storage import BLOCK_BYTES, Storage
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.errors import StoreError
from lambda_llm.batch_store.records import Rights, Source
from lambda_llm.errors import LambdaLLMError
from lambda_llm.openai_types.batches import ENDPOINTS, BatchRequest

WINDOW: Final = "24h"

_FIRST_BYTES: Final = 4 * BLOCK_BYTES

logger = logging.getLogger(__name__)


class Intake:
    """See the module."""

    def __init__(self, storage: Storage, batches: Batches, configuration: Configuration) -> None:
        """Take what it works with; nothing is read.

        Args:
            storage: the store.
            batches: in it.
            configuration: of the store, which says whose batches these are.
        """
        self._storage = storage
        self._batches = batches
        self._configuration = configuration

    def uploaded(self, event: dict[str, Any]) -> list[str]:
        """Make a batch of an object that EventBridge tells of; returns its id.

        An event may come twice, and makes one batch.

        Raises:
            BatchConfigurationError: uploads start no batches here.
            StoreError: S3 or Step Functions does not answer, or refuses.
        """
        key = str(event["detail"]["object"]["key"])
        name = key.removeprefix(self._storage.prefix)
        if event["detail"]["bucket"]["name"] != self._storage.bucket or not name.startswith(layout.INBOX):
            logger.warning("an object that is not below %s%s was left alone", self._storage.uri, layout.INBOX)
            return []
        return self._created(name)

    def scheduled(self) -> list[str]:
        """Make batches of all objects below the inbox that have none; returns the ids of all.

        Raises:
            BatchConfigurationError: as above.
            StoreError: as above, for one or more of them; the others are made.
        """
        made: list[str] = []
        failed: list[str] = []
        for name in self._storage.names(layout.INBOX):
            try:
                made += self._created(name)
            except LambdaLLMError as error:
                if isinstance(error, BatchConfigurationError):
                    raise
                logger.error("%s is no batch: %s", name, error)  # noqa: TRY400 - the message is complete
                failed.append(name)
        if failed:
            raise StoreError(
                f"{len(failed):,} uploads below {layout.INBOX}, {failed[0]!r} the first, could not be made batches, "
                f"{len(made):,} could: the log says why."
            )
        return made

    def _created(self, name: str) -> list[str]:
        tenant = self._configuration.inbox
        if tenant is None:
            raise BatchConfigurationError("The store's configuration has no inbox: set inbox of modules/batch.")
        if name.endswith("/"):
            return []
        head = self._storage.head(name)
        if head is None:
            return []  # it was taken away again
        source = Source(bucket=self._storage.bucket, key=self._storage.prefix + name, etag=head.etag, size=head.size)
        unique = hashlib.sha256(json.dumps([source.key, source.etag, head.modified]).encode()).hexdigest()[:16]
        request = BatchRequest(
            input_file_id=f"s3://{source.bucket}/{source.key}",
            endpoint=self._endpoint(source),
            completion_window=WINDOW,
            max_dollars=self._configuration.inbox_dollars,
            metadata={"inbox": name.removeprefix(layout.INBOX)[:512]},
        )
        batch_id = layout.new_batch(head.modified, unique)
        batch = self._batches.create(tenant, request, Rights(place="account"), source=source, batch_id=batch_id)
        logger.info("%s is batch %s", name, batch.id)
        return [batch.id]

    def _endpoint(self, source: Source) -> Any:
        """That of the first line; what is wrong with it, indexing tells."""
        models = self._configuration.models.values()
        known = [each.value for model in models for each in model.operations if each.value in ENDPOINTS]
        default = known[0] if known else Operation.CHAT.value
        if not source.size:
            return default
        try:
            blocks = self._storage.blocks(source, 0, min(source.size, _FIRST_BYTES) - 1)
            first = next((raw for raw in split(blocks) if not raw.blank), None)
            url = default if first is None else parse(first.content).url
        except LineError:
            return default
        return url if url in known else default
