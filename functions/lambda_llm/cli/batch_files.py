"""Files of batches between this machine and a store."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from lambda_llm.cli.console import progress_bar
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from lambda_llm.cli.batch_store import Reached

BLOCK_BYTES: Final = 8 * 1024 * 1024


class InputFileError(LambdaLLMError):
    """The file can't be a batch's input, or nothing can answer it."""


class BatchEndedError(LambdaLLMError):
    """A batch has not completed, or its results can't be kept."""


def blocks(reached: "Reached", file: str, progress: Any) -> Iterator[bytes]:
    """A file's content: of this machine, or of the store."""
    done = 0
    if file.startswith("s3://"):
        from lambda_llm.aws.s3_uri import parse_object
        from lambda_llm.batch_store.records import Source

        bucket, key = parse_object(file)
        head = (
            reached.storage.head(key.removeprefix(reached.storage.prefix)) if bucket == reached.storage.bucket else None
        )
        if head is None:
            raise InputFileError(f"{file} is not in the store {reached.storage.uri}: upload a file of this machine.")
        source = Source(bucket=bucket, key=key, etag=head.etag, size=head.size)
        for block in reached.storage.blocks(source, 0, head.size - 1):
            done += len(block)
            progress(done, head.size)
            yield block
        return
    with _opened(file) as opened:
        size = Path(file).stat().st_size
        while block := opened.read(BLOCK_BYTES):
            done += len(block)
            progress(done, size)
            yield block


def _opened(file: str) -> BinaryIO:
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise InputFileError(
            f"{file} can't be read ({error.strerror}): name a file with a request on each line."
        ) from error


class _Read:
    """A file that tells how far it was read."""

    def __init__(self, file: BinaryIO, size: int, progress: Any) -> None:
        self._file, self._size, self._progress = file, size, progress

    def read(self, count: int = -1) -> bytes:
        """See `BinaryIO`."""
        content = self._file.read(count)
        self._progress(self._file.tell(), self._size)
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def uploaded(reached: "Reached", tenant: str, file: str) -> str:
    """Upload a file of this machine; returns what the batch names."""
    if file.startswith("s3://"):
        return file
    with _opened(file) as opened, progress_bar("Uploading") as progress:
        read: Any = _Read(opened, Path(file).stat().st_size, progress)
        return reached.files.create(tenant, read, Path(file).name, "batch").id


def fetched(reached: "Reached", tenant: str, file_id: str, path: Path) -> None:
    """Write a file of the store beside its name, and put it in its place when it is whole."""
    from botocore.exceptions import BotoCoreError

    size = reached.files.get(tenant, file_id).bytes
    part = path.with_name(path.name + ".part")
    done = 0
    try:
        with part.open("wb") as written, progress_bar(path.name) as progress:
            body = reached.files.open(tenant, file_id)
            for block in body.iter_chunks(BLOCK_BYTES):
                done += written.write(block)
                progress(done, size)
        part.replace(path)
    except OSError as error:
        raise BatchEndedError(f"{path} can't be written ({error.strerror}): choose another file.") from error
    except BotoCoreError as error:
        raise BatchEndedError(f"{path} was cut off while it was fetched ({error}): fetch the results again.") from error
    finally:
        part.unlink(missing_ok=True)
