"""The step in between: a batch of the input, which is asked for until it has ended."""

import hashlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.records import Rights
from lambda_llm.documents.errors import PrepareError
from lambda_llm.documents.prepare import Prepared
from lambda_llm.documents.settings import Settings
from lambda_llm.openai_types.batches import Batch, BatchRequest


def create(s3: Any, batches: Batches, settings: Settings, run: str, prepared: Prepared) -> Batch:
    """Create the batch of a run, or find it where it was created already.

    Args:
        s3: client of S3.
        batches: of the store.
        settings: of the function.
        run: name of the run, which is in the batch's metadata.
        prepared: its input.

    Raises:
        PrepareError: the input is not there, or the settings ask for a batch that can't be.
        StoreError, InputError, NoSuchError: as of `Batches.create`.
    """
    bucket, key = parse_object(prepared.input)
    try:
        written: float = s3.head_object(Bucket=bucket, Key=key)["LastModified"].timestamp()
    except (ClientError, BotoCoreError) as error:
        raise PrepareError(f"The input {prepared.input} can't be read ({error}): start a new run.") from error
    unique = hashlib.sha256(f"{settings.tenant} {run}".encode()).hexdigest()[:16]
    request = BatchRequest(
        input_file_id=prepared.input,
        endpoint="/v1/embeddings",
        completion_window=settings.window,
        metadata={"run": run},
        max_dollars=settings.max_dollars,
    )
    rights = Rights(models=(settings.model,))
    return batches.create(settings.tenant, request, rights, batch_id=layout.new_batch(written, unique))
