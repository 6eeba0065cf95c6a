"""Stores between a real bucket and real state machines."""

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local_aws.server import LocalAWS
from support.batch_store import ENDS, Place, clients_of


@pytest.fixture(scope="module")
def aws(local_aws: LocalAWS) -> Iterator[tuple[Any, Any]]:
    with clients_of(local_aws) as made:
        yield made


@pytest.fixture(params=["", "a/prefix/"], ids=["bucket", "prefix"])
def place(aws: tuple[Any, Any], request: pytest.FixtureRequest) -> Place:
    """A store whose executions end at once."""
    return Place(*aws, ENDS, request.param)
