"""What a key looks like, and what is stored of it."""

import hashlib
import re
from dataclasses import replace
from typing import Any

import pytest

from lambda_llm.authorizer.errors import UnusableKeyError
from lambda_llm.authorizer.keys import NAME, StoredKey, hash_of, made, require_name

NOW = 1_800_000_000
FULL = StoredKey(
    key_hash="0" * 64,
    key_id="key_0123456789ab",
    tenant="acme",
    plan="standard",
    created_at=NOW,
    expires_at=NOW + 60,
    revoked_at=NOW + 30,
    max_tokens=500,
    note="CI",
)


def test_a_key_has_256_random_bits_and_is_stored_as_its_hash() -> None:
    key, stored = made("acme", "standard", now=NOW)
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}", key)
    assert stored.key_hash == hashlib.sha256(key.encode()).hexdigest() == hash_of(key)
    assert key not in str(stored)
    assert key[3:] not in str(stored)
    assert stored == StoredKey(
        key_hash=stored.key_hash, key_id=stored.key_id, tenant="acme", plan="standard", created_at=NOW
    )
    assert re.fullmatch(r"key_[0-9a-f]{12}", stored.key_id)


def test_no_two_keys_are_alike() -> None:
    keys = [made("acme", "standard", now=NOW) for _ in range(1000)]
    assert len({key for key, _ in keys}) == len({stored.key_id for _, stored in keys}) == 1000


@pytest.mark.parametrize(
    "key",
    ["", "sk-", "sk-abc", "sk-" + "a" * 42, "sk-" + "a" * 44, "sk-" + "a" * 42 + "+", "SK-" + "a" * 43,
     "sk-" + "a" * 43 + "\n", " sk-" + "a" * 43, "sk-" + "ä" * 43, "key-" + "a" * 43],
)  # fmt: skip
def test_what_can_t_be_a_key_has_no_hash(key: str) -> None:
    assert hash_of(key) is None


@pytest.mark.parametrize("key", [FULL, replace(FULL, expires_at=None, revoked_at=None, max_tokens=None, note=None)])
def test_an_item_is_read_as_it_was_written(key: StoredKey) -> None:
    assert StoredKey.of(key.item) == key
    assert {name: next(iter(value)) for name, value in key.item.items()}.items() <= {
        **dict.fromkeys(("key_hash", "key_id", "tenant", "plan", "note"), "S"),
        **dict.fromkeys(("created_at", "expires_at", "revoked_at", "max_tokens"), "N"),
    }.items()


def test_an_item_s_further_attributes_don_t_matter() -> None:
    assert StoredKey.of({**FULL.item, "team": {"S": "search"}}) == FULL


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": None},
        {"plan": None},
        {"key_id": None},
        {"created_at": None},
        {"expires_at": {"S": "1800000000"}},
        {"expires_at": {"N": "1.5"}},
        {"revoked_at": {"BOOL": True}},
        {"max_tokens": {"N": "many"}},
        {"tenant": {"S": "Acme"}},
        {"tenant": {"S": ""}},
        {"plan": {"S": "a b"}},
        {"tenant": {"N": "7"}},
        {"tenant": {"NULL": True}},
    ],
    ids=str,
)
def test_a_damaged_item_is_refused(changes: dict[str, Any]) -> None:
    item: dict[str, Any] = {**FULL.item, **changes}
    with pytest.raises(UnusableKeyError):
        StoredKey.of({name: value for name, value in item.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"revoked_at": None, "expires_at": None}, None),
        ({"revoked_at": None, "expires_at": NOW + 1}, None),
        ({"revoked_at": None, "expires_at": NOW}, "expired"),
        ({"revoked_at": NOW - 1, "expires_at": None}, "revoked"),
        ({"revoked_at": NOW + 100, "expires_at": None}, "revoked"),
        ({"revoked_at": 0, "expires_at": None}, "revoked"),
    ],
    ids=str,
)
def test_a_key_is_refused_once_it_is_revoked_or_expired(changes: dict[str, Any], reason: str | None) -> None:
    assert replace(FULL, **changes).refused(NOW) == reason


@pytest.mark.parametrize("name", ["a", "7", "acme", "acme-2", "a_b", "a" * 63])
def test_names_are_short_and_plain(name: str) -> None:
    assert require_name("tenant", name) == name
    assert re.match(NAME, name)


@pytest.mark.parametrize(
    "name", ["", "-a", "_a", "A", "a b", "a/b", "a.b", "ä", "a" * 64, "a\n", "\n", "..", "a,b", '"a"']
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnusableKeyError, match=r"can't be the name of a plan: write 1 to 63 lower-case letters"):
        made("acme", name, now=NOW)
    with pytest.raises(UnusableKeyError, match=r"can't be the name of a tenant"):
        made(name, "standard", now=NOW)
