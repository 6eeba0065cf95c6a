"""The backends of a configuration are what it says, from the address to the key."""

import json
import time
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from lambda_llm.backends.contract import Operation, Request, opened
from lambda_llm.backends.errors import BackendError, Kind
from lambda_llm.router.build import backends, guardrails
from lambda_llm.router.config import Configuration, parse
from lambda_llm.router.secrets import Secrets
from scripts.local_aws.server import LocalAWS
from support.event_streams import EVENT_STREAM, JSON, Answer, answering, event
from support.guardrails import guarding
from support.router import written

BODY = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
COMPLETION = json.dumps({"choices": [{"message": {"content": "Hi"}}]}).encode()
ALIAS = written()["backends"]["small"]["function"]
PRELUDE = b'{"statusCode": 200, "headers": {"content-type": "application/json"}}' + bytes(8)
CONVERSED = json.dumps(
    {"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn"}
).encode()


@pytest.fixture(autouse=True)
def _aws(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def configured(url: str, **changes: dict[str, Any]) -> Configuration:
    """All kinds of backends, each at `url`."""
    given = written()
    for name, entry in given["backends"].items():
        entry |= {"url": url, **changes.get(name, {})}
    given["backends"]["elsewhere"] |= {"place": "account"}  # on loopback, without TLS
    return parse(json.dumps(given).encode())


async def answer(configuration: Configuration, name: str, secrets: Secrets) -> bytes:
    backend = backends(configuration, secrets.key)[name]
    try:
        async with opened(backend, Request(Operation.CHAT, BODY, time.monotonic() + 60, "an-id")) as chunks:
            return b"".join([chunk.data async for chunk in chunks])
    finally:
        await backend.close()
        secrets.forget()


@pytest.mark.parametrize(
    ("name", "given", "path", "service"),
    [
        ("bedrock", Answer([CONVERSED], headers=JSON), "/model/us.anthropic.claude-haiku-4-5/converse", "bedrock"),
        ("gpu", Answer([COMPLETION], headers=JSON), "/endpoints/gpu/invocations", "sagemaker"),
        (
            "small",
            Answer([event("PayloadChunk", PRELUDE + COMPLETION), event("InvokeComplete", {})], headers=EVENT_STREAM),
            f"/2021-11-15/functions/{quote(ALIAS, safe='')}/response-streaming-invocations",
            "lambda",
        ),
    ],
)
async def test_a_backend_of_aws_is_asked_with_a_signature(name: str, given: Answer, path: str, service: str) -> None:
    """For its own service, in its own region."""
    with answering(given) as server:
        assert b"Hi" in await answer(configured(server.url), name, Secrets())
    [asked] = server.asked
    assert asked.path == path
    assert (
        f"/{'us-east-1' if name == 'bedrock' else 'eu-central-1'}/{service}/aws4_request"
        in (asked.headers["authorization"])
    )


async def test_an_asynchronous_endpoint_is_asked_with_a_signature(local_aws: LocalAWS) -> None:
    """And its answer is read from S3."""
    local_aws.make_bucket("queued-answers")
    with closing(local_aws.client("s3")) as s3:
        s3.put_object(Bucket="queued-answers", Key="1", Body=COMPLETION)
    told = Answer([b"{}"], 202, {"x-amzn-sagemaker-outputlocation": "s3://queued-answers/1"})
    with answering(told) as server:
        assert b"Hi" in await answer(configured(server.url), "queued", Secrets())
    [asked] = server.asked
    assert asked.path == "/endpoints/queued/async-invocations"
    assert "/eu-central-1/sagemaker/aws4_request" in asked.headers["authorization"]
    assert asked.json["model"] == "llama"


@pytest.mark.parametrize(("name", "given"), [("bedrock", CONVERSED), ("gpu", COMPLETION)])
async def test_responses_are_had_over_chat_completions(name: str, given: bytes) -> None:
    """Of backends that have none of their own, and only where the configuration says so."""
    operations = ["/v1/chat/completions", "/v1/responses"]
    request = Request(Operation.RESPONSES, {"model": "chat", "input": "Hello"}, time.monotonic() + 60, "an-id")
    with answering(Answer([given], headers=JSON)) as server:
        made = backends(configured(server.url, **{name: {"operations": operations}}), Secrets().key)[name]
        async with opened(made, request) as chunks:
            [response] = [json.loads(chunk.data) async for chunk in chunks]
        await made.close()
        alone = backends(configured(server.url), Secrets().key)[name]
    assert response["output"][0]["content"][0]["text"] == "Hi"
    assert made.unsupported(request) is None
    assert alone.unsupported(request) == "/v1/responses"


async def test_bedrock_gets_its_options() -> None:
    """Guardrail, tier and cache points."""
    with answering(Answer([CONVERSED], headers=JSON)) as server:
        configuration = configured(server.url, bedrock={"cache_points": True})
        await answer(configuration, "bedrock", Secrets())
    sent = server.asked[0].json
    assert sent["guardrailConfig"] == {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    assert sent["serviceTier"] == {"type": "flex"}


async def test_a_key_is_read_where_it_is_kept_and_sent(local_aws: LocalAWS) -> None:
    """In the header that the server wants; where it can't be read, nothing is sent."""
    with closing(local_aws.client("secretsmanager")) as client:
        arn = client.create_secret(Name="elsewhere", SecretString="sk-1")["ARN"]
    auth = {"kind": "bearer", "secret": arn, "header": "x-api-key", "prefix": ""}
    with answering(Answer([COMPLETION], headers=JSON)) as server:
        assert b"Hi" in await answer(configured(server.url, elsewhere={"auth": auth}), "elsewhere", Secrets())
        gone = auth | {"secret": arn[:-6] + "abcdef"}
        with pytest.raises(BackendError, match=r"can't be authorized: The key in .* can't be read") as refused:
            await answer(configured(server.url, elsewhere={"auth": gone}), "elsewhere", Secrets())
    assert refused.value.kind is Kind.FORBIDDEN
    [asked] = server.asked
    assert (asked.headers["x-api-key"], "authorization" in asked.headers) == ("sk-1", False)


async def test_a_guardrail_is_asked_with_a_signature_for_what_it_checks() -> None:
    """In its own region."""
    request = Request(Operation.CHAT, BODY, time.monotonic() + 60, "an-id")
    with guarding() as guard:
        entry = {"id": "abc123", "version": "DRAFT", "region": "eu-west-1", "url": guard.url}
        given = written() | {"guardrails": {"in": entry | {"output": False}, "out": entry | {"input": False}}}
        for guardrail in guardrails(parse(json.dumps(given).encode())).values():
            await guardrail.check(request)
            await guardrail.close()
    assert (guard.texts, guard.paths) == (["Hello"], ["/guardrail/abc123/version/DRAFT/apply"])
    assert "/eu-west-1/bedrock/aws4_request" in guard.authorizations[0]


async def test_a_server_with_iam_and_one_without_anything() -> None:
    """Such as a Function URL, and one in the same network."""
    for auth, signature in (
        ({"kind": "sigv4", "service": "lambda", "region": "eu-west-1"}, "/eu-west-1/lambda/aws4_request"),
        ({"kind": "none"}, ""),
    ):
        with answering(Answer([COMPLETION], headers=JSON)) as server:
            await answer(
                configured(server.url, elsewhere={"auth": auth, "fixed": {"top_k": 3}}), "elsewhere", Secrets()
            )
        [asked] = server.asked
        assert signature in asked.headers.get("authorization", "")
        assert bool(signature) == ("authorization" in asked.headers)
        assert asked.json == BODY | {"model": "large", "top_k": 3}
