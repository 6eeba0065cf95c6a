"""References: what an agent's state carries in place of documents and large results."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from lambda_llm.agent.errors import BadReferenceError

SHA256: Final = re.compile(r"[0-9a-f]{64}")
TYPE: Final = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}(;[\x20-\x7e]{0,64})?", re.ASCII)
URI_MOST: Final = 1_500
"""Characters of an address: S3 keys have at most 1,024 bytes.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""


@dataclass(frozen=True)
class Reference:
    """Content by its address, never by its bytes; it is opened by a store, which verifies size and hash.

    Attributes:
        uri: address in the state of the execution's tenant.
        sha256: hash of the content, in lower-case hexadecimal.
        size: of the content in bytes.
        type: media type.
    """

    uri: str
    sha256: str
    size: int
    type: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Validate a JSON object, whoever wrote it.

        Raises:
            BadReferenceError: it is none.
        """
        if not isinstance(value, Mapping) or set(value) != {"uri", "sha256", "size", "type"}:
            raise BadReferenceError("A reference is an object of uri, sha256, size and type.")
        uri, sha256, size, kind = value["uri"], value["sha256"], value["size"], value["type"]
        if not isinstance(uri, str) or not 0 < len(uri) <= URI_MOST:
            raise BadReferenceError(f"The uri of a reference is a text of at most {URI_MOST:,} characters.")
        if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
            raise BadReferenceError("The sha256 of a reference has 64 hexadecimal digits in lower case.")
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise BadReferenceError("The size of a reference is its number of bytes.")
        if not isinstance(kind, str) or not TYPE.fullmatch(kind):
            raise BadReferenceError("The type of a reference is a media type, such as text/plain.")
        return cls(uri, sha256, size, kind)
