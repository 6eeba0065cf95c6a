"""Which web pages may use a server on this machine: none of another site.

A browser tells the page's site in `Origin`. After DNS rebinding (a site's name that suddenly means this machine) there
is no foreign `Origin`, but the site's name is the `Host`.
"""

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from starlette.datastructures import Headers

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""Names of this machine's loopback interface."""

EVERY: Final = "*"
"""Accepts every name, or every origin."""

_ADDRESS: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(:\d+)?")
_ORIGIN: Final = re.compile(rf"https?://{_ADDRESS.pattern}")


@dataclass(frozen=True)
class LocalNames:
    """The names by which a server is known.

    Attributes:
        names: in lower case.
        addresses: whether any IP address is one of them: DNS can't change what it means.
        origins: of pages of other sites that may use the server.
    """

    names: frozenset[str]
    addresses: bool = False
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: str, further: Collection[str] = (), origins: Collection[str] = ()) -> Self:
        """The names of a server.

        Args:
            host: name or address that it listens on.
            further: names, or `EVERY`.
            origins: of pages of other sites, like `https://example.com`, or `EVERY`.
        """
        names = {*LOOPBACK, *(name.lower() for name in further)}
        elsewhere = host not in LOOPBACK
        if elsewhere:
            names |= {host.lower(), socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
        return cls(frozenset(names), elsewhere, frozenset(origins))

    def foreign(self, headers: Headers) -> str | None:
        """What shows that a request comes from a page of another site, for example `Origin: https://example.com`."""
        for name, form in (("Host", _ADDRESS), ("Origin", _ORIGIN)):
            for value in headers.getlist(name):
                if name == "Origin" and self.origins & {value, EVERY}:
                    continue
                found = form.fullmatch(value)
                if not found or not self._has(found["name"]):
                    return f"{name}: {value}"
        return None

    def _has(self, name: str) -> bool:
        name = name.strip("[]").lower().removesuffix(".")
        if self.names & {name, EVERY}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.addresses
