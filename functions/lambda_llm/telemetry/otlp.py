"""Spans to a collector, or to X-Ray: OTLP over HTTP, as protobuf.

The encoding is OpenTelemetry's own; its HTTP exporter is not used, because it brings a second HTTP client and can't
sign. This is imported only where spans are recorded.

Sources: https://opentelemetry.io/docs/specs/otlp/#otlphttp, https://opentelemetry.io/docs/specs/otel/protocol/exporter/,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-OTLPEndpoint.html
"""

import gzip
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import httpx2
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util.re import parse_env_headers

from lambda_llm.aws.signing import SigV4Auth, find_credentials
from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from botocore.credentials import Credentials

logger = logging.getLogger(__name__)

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Base URL, to which `/v1/traces` is added."""

TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
"""URL as it is; goes before `ENDPOINT`."""

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"

_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")

_XRAY: Final = re.compile(r"https://xray\.(?P<region>[a-z0-9-]+)\.(amazonaws\.com|api\.aws)(\.cn)?/")

TIMEOUT_SECONDS: Final = 2.0
"""Of a request to the collector: an answer's end waits for it on Lambda."""

PAUSE_SECONDS: Final = 30.0
"""After a failure nothing is sent for so long: a collector that is down costs one wait, not one for each answer."""


def endpoint(environment: Mapping[str, str]) -> str | None:
    """Where spans are sent to; None: nowhere."""
    if traces := environment.get(TRACES_ENDPOINT):
        return traces
    base = environment.get(ENDPOINT)
    return f"{base.rstrip('/')}/v1/traces" if base else None


class OTLPExporter(SpanExporter):
    """Sends spans; what can't be sent is dropped, with a line in the log."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        transport: httpx2.BaseTransport | None = None,
        find: "Callable[[], Credentials]" = find_credentials,
    ) -> None:
        """Connect with the first spans.

        Args:
            url: of the collector; requests to X-Ray's are signed.
            headers: added to each request, as tokens are.
            transport: of the HTTP client; None: the network.
            find: resolves the credentials to sign with.
        """
        self._url = url
        self._headers = dict(headers)
        self._transport = transport
        self._find = find
        self._client: httpx2.Client | None = None
        self._resumes = 0.0

    @classmethod
    def configured(cls, url: str, environment: Mapping[str, str]) -> "OTLPExporter":
        """One with the headers that the environment's variables have."""
        protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
        if protocol != _PROTOCOL:
            logger.warning("spans are sent as http/protobuf, not as %s: name an endpoint that takes it", protocol)
        given = next((environment[name] for name in _HEADERS if environment.get(name)), "")
        return cls(url, parse_env_headers(given, liberal=True))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans once: a second try would keep an answer waiting."""
        if time.monotonic() < self._resumes:
            return SpanExportResult.FAILURE
        try:
            body = gzip.compress(encode_spans(spans).SerializeToString(), compresslevel=1)
            answer = self._connected().post(self._url, content=body)
            answer.raise_for_status()
        except (httpx2.HTTPError, httpx2.InvalidURL, LambdaLLMError) as error:
            self._resumes = time.monotonic() + PAUSE_SECONDS
            logger.warning(
                "spans could not be sent and are lost",
                extra={"error": f"{type(error).__name__}: {error}", "spans": len(spans), "endpoint": self._url},
            )
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def close(self) -> None:
        """Close the connection and forget credentials; the next spans open another."""
        if self._client is not None:
            self._client.close()
        self._client = None
        self._resumes = 0.0

    def shutdown(self) -> None:
        """See `SpanExporter`."""
        self.close()

    def _connected(self) -> httpx2.Client:
        if self._client is None:
            signed = _XRAY.match(self._url)
            self._client = httpx2.Client(
                headers={**self._headers, "content-type": "application/x-protobuf", "content-encoding": "gzip"},
                auth=SigV4Auth("xray", signed["region"], self._find) if signed else None,
                timeout=TIMEOUT_SECONDS,
                transport=self._transport,
            )
        return self._client
