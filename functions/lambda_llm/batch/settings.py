"""The setting of a batch's functions, and what they read with it."""

from collections.abc import Mapping
from typing import Final

from lambda_llm.aws.s3_uri import parse_prefix
from lambda_llm.batch.config import Configuration, parse
from lambda_llm.batch.errors import BatchConfigurationError, SettingsError
from lambda_llm.batch.storage import Storage
from lambda_llm.batch_store import layout

STORE: Final = "LAMBDA_LLM_BATCH_STORE"


def store_of(environment: Mapping[str, str]) -> str:
    """The store's address: `s3://bucket/prefix/`.

    Raises:
        SettingsError: it is not set.
        S3URIError: it has another form.
    """
    uri = environment.get(STORE, "")
    if not uri:
        raise SettingsError(f"{STORE} is not set: set it to s3://BUCKET/PREFIX/, where batches are kept.")
    parse_prefix(uri)
    return uri


def configuration_of(storage: Storage) -> Configuration:
    """A store's configuration, as it is now.

    Raises:
        BatchConfigurationError: there is none, or it can't be used.
        StoreError: S3 does not answer, or refuses.
    """
    content = storage.get(layout.CONFIGURATION)
    if content is None:
        raise BatchConfigurationError(
            f"{storage.uri} has no {layout.CONFIGURATION}: name the store that modules/batch has made, or apply it."
        )
    return parse(content)
