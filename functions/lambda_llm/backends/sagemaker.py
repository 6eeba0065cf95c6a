"""A real-time endpoint of SageMaker whose container has OpenAI's chat completions at `/invocations`.

vLLM's, SGLang's, LMI's and llama.cpp's images of AWS do so. An asynchronous endpoint is `sagemaker_async`, and a
gateway of SageMaker's is `openai_http`.

Sources: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_ResponseStream.html
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx2

from lambda_llm.backends.contract import Chunk, Operation, Request
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.backends.events import aws_events, fields_of, sse
from lambda_llm.backends.http import HTTP
from lambda_llm.backends.openai_http import sent, streamed, whole

WAKE_SECONDS: Final = 300.0
"""Until a component that was scaled to zero may answer: an instance starts, and loads the model."""

_NO_CAPACITY: Final = b"has no capacity to process this request"
"""In the ValidationError for a component without copies, as AWS's post quotes it. That failure makes it scale out.
Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html
https://aws.amazon.com/blogs/machine-learning/unlock-cost-savings-with-the-new-scale-down-to-zero-feature-in-amazon-sagemaker-inference/
"""

_STATUSES: Final = range(400, 600)


@dataclass(frozen=True)
class Endpoint:
    """Which model, where.

    Attributes:
        name: of the endpoint.
        component: name of the inference component, where the endpoint has any.
        session: id of a session that `InvokeEndpoint` began, for containers that have them.
    """

    name: str
    component: str | None = None
    session: str | None = None


class SageMaker:
    """See the module."""

    def __init__(
        self,
        name: str,
        url: str,
        endpoint: Endpoint,
        model: str,
        *,
        auth: httpx2.Auth,
        wake_seconds: float = WAKE_SECONDS,
    ) -> None:
        """Take the address; nothing is sent.

        Args:
            name: of the backend, for errors.
            url: `endpoints.endpoint("runtime.sagemaker", region)`, or that of a VPC endpoint.
            endpoint: that is invoked.
            model: as the container calls it.
            auth: signs each request, for `sagemaker`.
            wake_seconds: after which to try again an endpoint that had scaled to zero.
        """
        self._http = HTTP(name, url, auth, self._refusal)
        self._path = f"/endpoints/{quote(endpoint.name, safe='')}/invocations"
        self._model = model
        self._wake_seconds = wake_seconds
        self._headers = {
            header: value
            for header, value in (
                ("x-amzn-sagemaker-inference-component", endpoint.component),
                ("x-amzn-sagemaker-session-id", endpoint.session),
            )
            if value is not None
        }

    def unsupported(self, request: Request) -> str | None:
        """See `contract.Backend`: which fields it honours, the container itself says."""
        return None if request.operation is Operation.CHAT else request.operation.value

    async def open(self, request: Request) -> AsyncGenerator[Chunk]:
        """See `contract.Backend`."""
        body = json.dumps(sent(request, self._model, {})).encode()
        path = self._path + ("-response-stream" if request.stream else "")
        async with self._http.post(request, path, body, self._headers) as response:
            if request.stream:
                parts = self._payload(response.aiter_bytes())
                async with aclosing(streamed(request.operation, sse(parts), self._http)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                yield whole(await self._http.whole(response.aiter_bytes()), self._http)

    async def close(self) -> None:
        """See `contract.Backend`."""
        await self._http.close()

    async def _payload(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for kind, payload in aws_events(parts, self._http, _kind_of):
            if kind == "PayloadPart":
                yield payload

    def _refusal(self, status: int, headers: Mapping[str, str], content: bytes) -> BackendError | None:
        error: dict[str, Any] = fields_of(content)
        code = headers.get("x-amzn-errortype", "").partition(":")[0]
        if _NO_CAPACITY in content or code == "ModelNotReadyException":
            return BackendError(
                Kind.WAKING,
                f"The backend {self._http.name!r} had scaled to zero, and starts now.",
                retry_after=self._wake_seconds,
            )
        original = error.get("OriginalStatusCode")
        if code == "ModelError" and isinstance(original, int) and original in _STATUSES and original != status:
            # The container's own refusal, which may be of the request.
            return self._http.refused(original, {}, str(error.get("OriginalMessage", "")).encode())
        return None


def _kind_of(name: str, payload: bytes) -> Kind:
    if name == "ModelStreamError" and fields_of(payload).get("ErrorCode") == "ModelInvocationTimeExceeded":
        return Kind.TIMEOUT
    return Kind.UNAVAILABLE if name == "InternalStreamFailure" else Kind.BROKEN
