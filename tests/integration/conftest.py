"""Parts that run for real beside the tests."""

from collections.abc import Iterator

import pytest

import local_aws as script
from local_aws import LocalAWS


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """One local AWS for the whole run: `endpoint`, and `environment` for whatever is to talk to it.

    It keeps what it is given until the end, so each test makes buckets and names of its own.
    """
    with script.local_aws(tmp_path_factory.mktemp("local-aws")) as running:
        yield running
