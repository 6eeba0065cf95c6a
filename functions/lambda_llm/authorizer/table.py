"""The table of the keys in DynamoDB."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from lambda_llm.authorizer.errors import KeyTableError, UnusableKeyError
from lambda_llm.authorizer.keys import StoredKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CONNECT_SECONDS: Final = 1
READ_SECONDS: Final = 2
ATTEMPTS: Final = 2
"""DynamoDB answers within milliseconds: an authorizer that waits longer holds up callers for nothing."""

_TAKEN: Final = "ConditionalCheckFailedException"


class KeyTable:
    """Keys by hash. No request is sent before the first use.

    The authorizer's role needs `dynamodb:GetItem` on the table. Whoever makes keys needs `dynamodb:PutItem`, lists them
    `dynamodb:Scan`, revokes one `dynamodb:Scan` and `dynamodb:UpdateItem`.
    """

    def __init__(self, name: str, *, read_seconds: float = READ_SECONDS) -> None:
        """Name the table.

        Args:
            name: of the table, or its ARN.
            read_seconds: silence after which DynamoDB counts as unavailable.

        Raises:
            KeyTableError: the region is not known.
        """
        self.name = name
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        try:
            self._client = cast("DynamoDBClient", get_session().create_client("dynamodb", config=config))
        except BotoCoreError as error:
            raise KeyTableError(
                f"DynamoDB can't be reached ({error}): set AWS_DEFAULT_REGION and credentials, as for the AWS CLI."
            ) from error

    def find(self, key_hash: str) -> StoredKey | None:
        """The key of a hash, as it was last written.

        Raises:
            KeyTableError: the table can't be read.
            UnusableKeyError: its item is damaged.
        """
        try:
            found = self._client.get_item(TableName=self.name, Key={"key_hash": {"S": key_hash}}, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise self._error("read", "dynamodb:GetItem", error) from error
        return StoredKey.of(found["Item"]) if "Item" in found else None

    def put(self, key: StoredKey) -> None:
        """Store a new key.

        Raises:
            KeyTableError: it was not written.
        """
        try:
            self._client.put_item(
                TableName=self.name, Item=key.item, ConditionExpression="attribute_not_exists(key_hash)"
            )
        except (ClientError, BotoCoreError) as error:
            raise self._error("written", "dynamodb:PutItem", error) from error

    def keys(self, damaged: Callable[[UnusableKeyError], object]) -> Iterator[StoredKey]:
        """Every key that is stored, in no order.

        Args:
            damaged: called for each item that is not given, because it is damaged.

        Raises:
            KeyTableError: the table can't be read.
        """
        for item in self._scan():
            try:
                yield StoredKey.of(item)
            except UnusableKeyError as error:
                damaged(error)

    def revoke(self, key_id: str, now: int) -> None:
        """Mark a key as revoked.

        Args:
            key_id: of the key.
            now: seconds since 1970.

        Raises:
            UnusableKeyError: there is no such key, or it has been revoked before.
            KeyTableError: the table can't be read or written.
        """
        found = next(iter(self._scan(key_id)), None)
        if found is None:
            raise UnusableKeyError(
                f"{self.name} has no key {key_id!r}: `lambda-llm keys list` shows the ids; expired keys are deleted "
                "after a while."
            )
        if "revoked_at" in found:
            raise UnusableKeyError(f"Key {key_id} has been revoked before: there is nothing to do.")
        try:
            self._client.update_item(
                TableName=self.name,
                Key={"key_hash": found["key_hash"]},
                UpdateExpression="SET revoked_at = :now",
                ConditionExpression="attribute_exists(key_hash) AND attribute_not_exists(revoked_at)",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"].get("Code") == _TAKEN:
                raise UnusableKeyError(
                    f"Key {key_id} was revoked or deleted by someone else meanwhile: there is nothing to do."
                ) from None
            raise self._error("written", "dynamodb:UpdateItem", error) from error

    def _scan(self, key_id: str | None = None) -> Iterator[dict[str, Any]]:
        only: dict[str, Any] = {}
        if key_id is not None:
            only = {"FilterExpression": "key_id = :id", "ExpressionAttributeValues": {":id": {"S": key_id}}}
        try:
            for page in self._client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True, **only):
                yield from page["Items"]
        except (ClientError, BotoCoreError) as error:
            raise self._error("read", "dynamodb:Scan", error) from error

    def _error(self, done: str, action: str, error: Any) -> KeyTableError:
        return KeyTableError(
            f"The keys in {self.name} can't be {done} ({error}): check the table's name, the region, and that the role "
            f"may use {action} on it."
        )
