"""Lines of input, output and error files.

Source: https://platform.openai.com/docs/guides/batch
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pydantic_core
from pydantic import ValidationError

from lambda_llm.openai_types.batches import BatchError, BatchLine

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longest line, so that a file without line ends does not fill the memory. A backend's own limit is lower."""

_BOM: Final = b"\xef\xbb\xbf"


class LineError(ValueError):
    """A line can't be a request.

    Attributes:
        code: for programs.
        param: the field at fault.
    """

    def __init__(self, code: str, sentence: str, param: str | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.param = param

    def told(self, line: int) -> BatchError:
        """As a batch tells it.

        Args:
            line: number of the line, from 1.
        """
        return BatchError(code=self.code, message=str(self), line=line, param=self.param)


@dataclass(frozen=True)
class Raw:
    """A line as it is in the file.

    Attributes:
        content: without its end.
        after: number of bytes of the input, from its beginning, up to the next line.
    """

    content: bytes
    after: int

    @property
    def blank(self) -> bool:
        """Whether it has nothing: such lines are skipped."""
        return not self.content.strip()


def split(blocks: Iterable[bytes], start: int = 0) -> Iterator[Raw]:
    """The lines of a file that comes in blocks.

    Args:
        blocks: of it, in order.
        start: number of the first block's first byte.

    Raises:
        LineError: a line is longer than `LINE_BYTES_MAX`.
    """
    held: list[bytes] = []
    size, after = 0, start
    for block in blocks:
        begun = 0
        while (end := block.find(b"\n", begun)) >= 0:
            content = b"".join([*held, block[begun:end]])
            held, size = [], 0
            after += len(content) + 1
            yield Raw(content.removeprefix(_BOM) if after == len(content) + 1 else content, after)
            begun = end + 1
        held.append(block[begun:])
        size += len(block) - begun
        if size > LINE_BYTES_MAX:
            raise LineError(
                "line_too_long",
                f"A line has more than {LINE_BYTES_MAX:,} bytes: write one JSON object on each line, and line ends "
                "between them.",
            )
    if size:
        content = b"".join(held)
        yield Raw(content.removeprefix(_BOM) if after == 0 else content, after + len(content))


def parse(content: bytes) -> BatchLine:
    """The request of a line.

    Raises:
        LineError: it is none.
    """
    try:
        fields = pydantic_core.from_json(content, allow_inf_nan=False)
    except ValueError:
        raise LineError("invalid_json_line", "This line is no JSON object: write one on each line.") from None
    if not isinstance(fields, dict):
        raise LineError("invalid_json_line", "This line is no JSON object: write one on each line.")
    try:
        return BatchLine.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(step) for step in first["loc"][:1])
        code = "missing_required_parameter" if first["type"] == "missing" else "invalid_request"
        raise LineError(code, f"{name}: {first['msg']}.", name) from None


def custom_id_of(content: bytes) -> str:
    """The custom_id of a line that was valid when the batch was indexed."""
    return str(pydantic_core.from_json(content)["custom_id"])


def answered(custom_id: str, request_id: str, body: bytes) -> bytes:
    """A line of an output file.

    Args:
        custom_id: of the request.
        request_id: of it, as backends' logs have it.
        body: the answer's JSON on one line, which is put in as it is.
    """
    return _line(custom_id, _response(200, request_id, body), b"null")


def refused(custom_id: str, request_id: str, status: int, code: str, sentence: str, param: str | None) -> bytes:
    """A line of an error file: a backend, or the batch for it, has refused the request."""
    kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004 - classes of HTTP's statuses
    error = {"error": {"message": sentence, "type": kind, "param": param, "code": code}}
    return _line(custom_id, _response(status, request_id, _json(error)), b"null")


def not_answered(custom_id: str, code: str, sentence: str) -> bytes:
    """A line of an error file: the request was not answered, and not refused either."""
    return _line(custom_id, b"null", _json({"code": code, "message": sentence}))


def _response(status: int, request_id: str, body: bytes) -> bytes:
    return b'{"status_code":%d,"request_id":%s,"body":%s}' % (status, _json(request_id), body)


def _line(custom_id: str, response: bytes, error: bytes) -> bytes:
    made = _json(f"batch_req_{secrets.token_hex(12)}")
    return b'{"id":%s,"custom_id":%s,"response":%s,"error":%s}\n' % (made, _json(custom_id), response, error)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
