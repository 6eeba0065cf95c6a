"""Batches on a real bucket."""

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local_aws.server import LocalAWS
from support.batch_store import clients_of
from support.batches import World


@pytest.fixture(scope="module")
def s3(local_aws: LocalAWS) -> Iterator[Any]:
    with clients_of(local_aws) as (made, _):
        yield made


@pytest.fixture
def world(s3: Any) -> World:
    """A store with one model, which answers."""
    return World(s3)
