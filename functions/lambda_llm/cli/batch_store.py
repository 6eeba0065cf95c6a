"""A store of batches, as a person reaches it: clients, its configuration, and what AWS says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.batch.config import Configuration
    from lambda_llm.batch.storage import Storage
    from lambda_llm.batch_store.batches import Batches
    from lambda_llm.batch_store.files import Files

WAIT_SECONDS: Final = 30
"""Silence of AWS that a person waits for."""


class ReachError(LambdaLLMError):
    """AWS can't be reached."""


@dataclass(frozen=True)
class Reached:
    """A store.

    Attributes:
        storage: its objects.
        configuration: of it.
        batches: in it.
        files: in it.
    """

    storage: "Storage"
    configuration: "Configuration"
    batches: "Batches"
    files: "Files"


def reach(uri: str) -> Reached:
    """A store by its address, with the credentials of whoever asks.

    Raises:
        ReachError: the region is not known.
        BatchConfigurationError, StoreError: it is no store, or can't be read.
    """
    from lambda_llm.batch.settings import configuration_of
    from lambda_llm.batch.storage import Storage
    from lambda_llm.batch_store.batches import Batches
    from lambda_llm.batch_store.files import Files

    with _telling():
        s3, states = _client("s3"), _client("stepfunctions")
    storage = Storage(uri, s3)
    configuration = configuration_of(storage)
    batches = Batches(uri, s3, states, configuration.machine)
    return Reached(storage, configuration, batches, Files(uri, s3))


def _client(service: str) -> Any:
    from lambda_llm.aws import clients

    return clients.create(service, read_seconds=WAIT_SECONDS)


@contextmanager
def _telling() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise ReachError(
            f"AWS can't be reached ({error}): set AWS_DEFAULT_REGION and credentials, as for the AWS CLI."
        ) from error
