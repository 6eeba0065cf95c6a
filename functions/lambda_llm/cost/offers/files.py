"""AWS's public offer files over HTTP: the index, each offer's files by region, and their lines as they arrive.

Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api.html. Neither an
account nor credentials are needed. EC2's file of a region has hundreds of megabytes, which never are in memory at once.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar
from urllib.parse import urljoin

import httpx2
import tenacity

from lambda_llm.cost.offers.rates import OfferError

OFFERS_URL: Final = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/index.json"
"""The index of all offers."""

ATTEMPTS: Final = 4
"""For each file, before it is given up."""
CONNECT_SECONDS: Final = 10
SILENCE_SECONDS: Final = 60
"""Without a byte, in the middle of a file."""
_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 10

Progress = Callable[[int, int], None]
"""Takes the bytes that are there and those of the whole file."""
T = TypeVar("T")


class AbsentError(OfferError):
    """AWS has no such offer, or not in this region."""


class _PassingError(Exception):
    """A failure that may be gone at the next attempt; its text is for people."""


class OfferFiles:
    """Reads offer files; a context manager.

    Attributes:
        url: of the index.
    """

    def __init__(self, url: str = OFFERS_URL, wait_seconds: float = _WAIT_SECONDS) -> None:
        """Read nothing yet.

        Args:
            url: of the index, at AWS or of a copy.
            wait_seconds: about what is waited before the second attempt; each further wait is twice as long.
        """
        self.url = url
        self._client = httpx2.Client(timeout=httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS))
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=wait_seconds, max=_LONGEST_WAIT_SECONDS),
            retry_error_callback=_given_up,
        )
        self._offers: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def csv_url(self, offer: str, region: str) -> str:
        """Where the CSV file of an offer in a region is.

        Raises:
            AbsentError: there is none.
            OfferError: an index can't be read, or is of another shape.
        """
        if self._offers is None:
            self._offers = _member(self._json(self.url), "offers", self.url)
        if offer not in self._offers:
            raise AbsentError(f"AWS has no offer {offer} any more: see which {self.url} names.")
        path = _text(self._offers[offer], "currentRegionIndexUrl", self.url)
        index = urljoin(self.url, path)
        regions = _member(self._json(index), "regions", index)
        if region not in regions:
            raise AbsentError(f"Offer {offer} is not sold in {region}.")
        file = urljoin(index, _text(regions[region], "currentVersionUrl", index))
        return file.removesuffix(".json") + ".csv"

    def read(self, url: str, reader: Callable[[Iterable[str]], T], progress: Progress | None = None) -> T:
        """What `reader` makes of a file's lines. It is called again from the first line if a transfer breaks off.

        Raises:
            OfferError: the file can't be read; or what `reader` raises.
        """

        def attempt() -> T:
            with self._answer(url) as response:
                return reader(_lines(response, progress))

        return self._attempted(url, attempt)

    def _json(self, url: str) -> Any:
        def attempt() -> Any:
            with self._answer(url) as response:
                response.read()
                return response.json()

        try:
            return self._attempted(url, attempt)
        except ValueError as error:
            raise OfferError(f"{url} is no JSON: expected an index of AWS's offers; check --offers-url.") from error

    def _attempted(self, url: str, attempt: Callable[[], T]) -> T:
        def explained() -> T:
            try:
                return attempt()
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                raise _PassingError(
                    f"{url} can't be reached ({error or type(error).__name__}): this needs a network that reaches it, "
                    "or a copy that --offers-url names."
                ) from error
            except httpx2.TransportError as error:
                raise _PassingError(
                    f"The transfer of {url} broke off ({error or type(error).__name__}), {ATTEMPTS} times: try again."
                ) from error
            except httpx2.InvalidURL as error:
                raise OfferError(f"{url!r} is no URL: expected that of an index of offers, as {OFFERS_URL}") from error

        return self._retrying(explained)

    @contextmanager
    def _answer(self, url: str) -> Iterator[httpx2.Response]:
        """The answer to a GET while it arrives, if it is one with what was asked for."""
        with self._client.stream("GET", url) as response:
            status = response.status_code
            if status != httpx2.codes.OK:
                sentence = f"{url} answered with status {status} instead of 200"
                if status == httpx2.codes.TOO_MANY_REQUESTS or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
                    raise _PassingError(f"{sentence}, {ATTEMPTS} times: try again later.")
                raise OfferError(
                    f"{sentence}: it is not there, or not for everybody; check --offers-url and the network."
                )
            yield response


def _lines(response: httpx2.Response, progress: Progress | None) -> Iterator[str]:
    total = int(response.headers.get("content-length", 0))
    seen = -1
    for line in response.iter_lines():
        done = response.num_bytes_downloaded
        if progress and done != seen:
            seen = done
            progress(done, max(total, done))
        yield line


def _given_up(state: tenacity.RetryCallState) -> Any:
    error = state.outcome.exception() if state.outcome else None
    raise OfferError(str(error)) from error


def _member(value: Any, name: str, url: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise OfferError(f"{url} has no object {name!r}: expected an index of AWS's offers; check --offers-url.")
    return found


def _text(value: Any, name: str, url: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise OfferError(f"{url} has an entry without {name!r}: expected an index of AWS's offers; check --offers-url.")
    return found
