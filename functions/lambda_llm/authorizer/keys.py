"""API keys: how they are made, and what is stored of one."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

from lambda_llm.authorizer.errors import UnusableKeyError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

NAME: Final = "^[a-z0-9][a-z0-9_-]{0,62}$"
"""What names of tenants and plans look like; Terraform's modules have the same."""

RANDOM_BYTES: Final = 32
"""Of a key: nobody guesses 256 bits, so that their plain hash gives nothing away."""

ID_BYTES: Final = 6
"""Of a key's id, at random."""

_KEY: Final = re.compile(r"sk-[A-Za-z0-9_-]{43}")
_NUMBERS: Final = ("created_at", "expires_at", "revoked_at", "max_tokens")


def hash_of(key: str) -> str | None:
    """SHA-256 of a key in hex, under which it is stored; None for what can't be a key."""
    return hashlib.sha256(key.encode()).hexdigest() if _KEY.fullmatch(key) else None


def require_name(what: str, name: str) -> str:
    """Return a name of a tenant or a plan.

    Args:
        what: `tenant` or `plan`.
        name: as given.

    Raises:
        UnusableKeyError: it does not look like one.
    """
    if not re.fullmatch(NAME, name):
        raise UnusableKeyError(
            f"{name!r} can't be the name of a {what}: write 1 to 63 lower-case letters, digits, hyphens and "
            "underscores, beginning with a letter or a digit."
        )
    return name


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """An item of the table; times are in seconds since 1970.

    Attributes:
        key_hash: SHA-256 of the key in hex, the table's partition key.
        key_id: names the key to people, in lists and logs.
        tenant: whose requests it makes.
        plan: usage plan under which it makes them.
        created_at: when it was made.
        expires_at: from when on it is refused; DynamoDB deletes the item some time later. None: never.
        revoked_at: when it was revoked; None: it was not.
        max_tokens: longest answer that it gets; None: whatever the function allows.
        note: for people.
    """

    key_hash: str
    key_id: str
    tenant: str
    plan: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    max_tokens: int | None = None
    note: str | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Self:
        """Read an item as DynamoDB's low-level client gives it.

        Raises:
            UnusableKeyError: an attribute is missing or of another type, or a name is not allowed.
        """
        given: dict[str, Any] = {}
        try:
            for name in (field.name for field in fields(cls)):
                if name in item:
                    given[name] = int(item[name]["N"]) if name in _NUMBERS else str(item[name]["S"])
            key = cls(**given)
            require_name("tenant", key.tenant)
            require_name("plan", key.plan)
        except (KeyError, TypeError, ValueError, UnusableKeyError):
            who = item.get("key_id", {}).get("S", "without an id")
            raise UnusableKeyError(
                f"The item of key {who} is not as `lambda-llm keys create` writes it: delete the item, and make a key."
            ) from None
        return key

    @property
    def item(self) -> "dict[str, AttributeValueTypeDef]":
        """The item as DynamoDB's low-level client takes it."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: {"N": str(value)} if name in _NUMBERS else {"S": value}
            for name, value in given.items()
            if value is not None
        }

    def refused(self, now: float) -> str | None:
        """Why the key is refused at a time (seconds since 1970); None: it is not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else None


def made(
    tenant: str,
    plan: str,
    *,
    now: int,
    expires_at: int | None = None,
    max_tokens: int | None = None,
    note: str | None = None,
) -> tuple[str, StoredKey]:
    """Make a key: `sk-` and 256 random bits in 43 characters.

    Args:
        tenant: see `StoredKey`, as for the rest.
        plan: as above.
        now: seconds since 1970.
        expires_at: as above.
        max_tokens: as above.
        note: as above.

    Returns:
        The key, and what is stored of it.

    Raises:
        UnusableKeyError: a name is not allowed.
    """
    key = f"sk-{secrets.token_urlsafe(RANDOM_BYTES)}"
    stored = StoredKey(
        key_hash=hash_of(key) or "",
        key_id=f"key_{secrets.token_hex(ID_BYTES)}",
        tenant=require_name("tenant", tenant),
        plan=require_name("plan", plan),
        created_at=now,
        expires_at=expires_at,
        max_tokens=max_tokens,
        note=note,
    )
    return key, stored
