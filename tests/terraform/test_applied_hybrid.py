"""examples/hybrid, applied: one address for three models, with IAM evaluated; Bedrock and SageMaker are played here."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from lambda_llm.router.config import parse
from support.answers import EXPECTED, QUESTION
from support.applied import Applied, client_of, refusal, terraform
from support.event_streams import Answer, AnsweringServer, answering, cut, event
from support.modules import TERRAFORM_FROM
from support.servers import until
from support.tls_bridge import bridged

ROUTER = "lambda-llm-hybrid"
BEDROCK_SAYS, GPU_SAYS = "From Bedrock.", "From the GPU."
LONG = "A long document. " * 900
"""More than the small model's context."""

TENANTS: Mapping[str, Mapping[str, Any]] = {
    "acme": {"dollars_a_day": 100},
    "poor": {"dollars_a_day": 0.0001},
    "closed": {"dollars_a_day": 100, "place": "lambda"},
}


def converse() -> Answer:
    """A streamed answer of Bedrock."""
    return Answer(
        [
            event("messageStart", {"role": "assistant"}),
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": BEDROCK_SAYS}}),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}),
            event(
                "metadata",
                {
                    "usage": {"inputTokens": 5000, "outputTokens": 5, "totalTokens": 5005},
                    "metrics": {"latencyMs": 10},
                },
            ),
        ]
    )


def endpoint() -> Answer:
    """A streamed answer of a container on SageMaker, whose parts end anywhere."""
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "llama"}
    chunks = [
        {
            **chunk,
            "choices": [{"index": 0, "delta": {"content": GPU_SAYS}, "finish_reason": None}],
        },
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**chunk, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}},
    ]
    lines = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n\n"
    return Answer([event("PayloadPart", part) for part in cut(lines.encode(), 7)])


@dataclass
class World:
    """What is around the stack: the played services, and keys of users by name."""

    bedrock: AnsweringServer
    sagemaker: AnsweringServer
    keys: Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def world(applied: Applied) -> Iterator[World]:
    """Users, two services, and the variables that tell the example of them."""
    with ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        iam = stack.enter_context(closing(applied.aws.client("iam")))
        found = World(stack.enter_context(answering(converse())), stack.enter_context(answering(endpoint())), {})
        arns, keys = {}, {}
        for name in (*TENANTS, "stranger"):
            arns[name] = iam.create_user(UserName=name)["User"]["Arn"]
            key = iam.create_access_key(UserName=name)["AccessKey"]
            keys[name] = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        found.keys = keys
        given = {
            "endpoints": {
                "lambda": stack.enter_context(bridged(applied.aws.endpoint, applied.environment["AWS_CA_BUNDLE"])),
                "bedrock": found.bedrock.url,
                "sagemaker": found.sagemaker.url,
            },
            "gpu": {
                "endpoint": "big",
                "component": "llama",
                "model": "llama",
                "context": 32768,
                "price": {"hourly": 1.13, "prefill": 20000, "decode": 1000},
            },
            "tenants": {name: {**rights, "principals": [arns[name]]} for name, rights in TENANTS.items()},
        }
        for name, value in given.items():
            patched.setenv(f"TF_VAR_{name}", json.dumps(value))
        yield found


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("world")]


Client = Callable[[str], AbstractContextManager[openai.OpenAI]]


@pytest.fixture
def client(stack: Any, applied: Applied, world: World) -> Client:
    """Takes the name of a user, whom the example's policy lets use the URL, or the stranger; gives the client."""
    outputs = applied.outputs(stack)
    with closing(applied.aws.client("iam")) as iam:
        for name in TENANTS:
            iam.put_user_policy(UserName=name, PolicyName="caller", PolicyDocument=outputs["caller_policy"])

    @contextmanager
    def signing(name: str) -> Iterator[openai.OpenAI]:
        with pytest.MonkeyPatch.context() as patched:
            patched.delenv("AWS_SESSION_TOKEN", raising=False)
            for variable, value in world.keys[name].items():
                patched.setenv(variable, value)
            with client_of(outputs["url"]) as made:
                yield made.with_options(max_retries=0)

    return signing


def streamed(asked: openai.OpenAI, model: str, question: str) -> tuple[str, str]:
    """The answer, and which backends were tried."""
    raw = asked.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
    return text, raw.headers["x-lambda-llm-attempts"]


@terraform("hybrid", scope="module", name="stack")
def test_each_request_goes_where_it_belongs(stack: Any, applied: Applied, world: World, client: Client) -> None:
    with client("acme") as acme:
        assert {model.id for model in acme.models.list()} == {"assistant", "large"}
        text, tried = streamed(acme, "assistant", QUESTION)
        assert (EXPECTED in text, tried) == (True, "small")
        assert streamed(acme, "assistant", LONG) == (BEDROCK_SAYS, "bedrock")
        assert streamed(acme, "large", QUESTION) == (GPU_SAYS, "gpu")
    (of_bedrock,), (of_sagemaker,) = world.bedrock.asked, world.sagemaker.asked
    assert of_bedrock.path == "/model/amazon.nova-lite-v1%3A0/converse-stream"
    assert of_bedrock.json["messages"] == [{"role": "user", "content": [{"text": LONG}]}]
    assert of_sagemaker.path == "/endpoints/big/invocations-response-stream"
    assert of_sagemaker.headers["x-amzn-sagemaker-inference-component"] == "llama"
    assert all("AWS4-HMAC-SHA256" in one.headers["authorization"] for one in (of_bedrock, of_sagemaker))
    log = applied.log(applied.outputs(stack)["log_group"])
    assert not [word for word in (QUESTION, EXPECTED, "A long document", BEDROCK_SAYS, GPU_SAYS) if word in log]


@terraform("hybrid", scope="module", name="stack")
def test_a_budget_ends_for_its_tenant_alone_and_data_stays_where_it_may(
    stack: Any, applied: Applied, world: World, client: Client
) -> None:
    before = len(world.bedrock.asked)
    with client("poor") as poor, pytest.raises(openai.RateLimitError) as refused:
        streamed(poor, "assistant", LONG)
    assert refused.value.code == "insufficient_quota"
    with client("closed") as closed, pytest.raises(openai.APIStatusError) as kept:
        streamed(closed, "assistant", LONG)
    assert "lambda" in str(kept.value).lower()
    assert len(world.bedrock.asked) == before
    with client("closed") as closed:
        assert EXPECTED in streamed(closed, "assistant", QUESTION)[0]
    with client("stranger") as stranger, pytest.raises(openai.PermissionDeniedError):
        stranger.models.list()
    with closing(applied.aws.client("dynamodb")) as dynamodb:
        items = dynamodb.scan(TableName=applied.outputs(stack)["table"])["Items"]
    spent = {item["tenant"]["S"] for item in items if item["sk"]["S"].startswith("window#day#")}
    assert spent == {"acme", "closed"}


@terraform("hybrid", scope="module", name="stack")
def test_a_response_is_answered_in_the_background(stack: Any, client: Client) -> None:
    assert stack
    with client("acme") as acme:
        sent = acme.responses.create(model="assistant", input=QUESTION, background=True, temperature=0)
        assert sent.status == "queued"
        until(lambda: acme.responses.retrieve(sent.id).status not in {"queued", "in_progress"})
        answered = acme.responses.retrieve(sent.id)
    assert (answered.status, EXPECTED in answered.output_text) == ("completed", True)
    with client("closed") as closed, pytest.raises(openai.NotFoundError):
        closed.responses.retrieve(sent.id)


@terraform("hybrid", scope="module", name="stack")
def test_what_is_too_much_for_the_function_goes_to_bedrock(stack: Any, applied: Applied, client: Client) -> None:
    assert stack
    small = {"FunctionName": f"{ROUTER}-small"}
    with closing(applied.aws.client("lambda")) as functions, client("acme") as acme:
        functions.put_function_concurrency(**small, ReservedConcurrentExecutions=0)
        answered = streamed(acme, "assistant", QUESTION)
        functions.delete_function_concurrency(**small)
    assert answered == (BEDROCK_SAYS, "small=throttled, bedrock")


@terraform("hybrid", scope="module", name="stack")
def test_the_roles_may_do_what_they_need_and_nothing_else(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    bucket, queue = outputs["background"]["results"].split("/")[2], outputs["background"]["queue_url"]
    message = {"QueueUrl": queue, "MessageBody": "{}"}
    for function, sends in ((ROUTER, True), (f"{ROUTER}-worker", False)):
        theirs = applied.role_credentials(function)
        with (
            closing(applied.aws.client("s3", theirs)) as s3,
            closing(applied.aws.client("dynamodb", theirs)) as dynamodb,
            closing(applied.aws.client("lambda", theirs)) as functions,
            closing(applied.aws.client("sqs", theirs)) as sqs,
        ):
            assert refusal(s3, "get_object", Bucket=bucket, Key="configuration/router.yaml") == ""
            refused = [
                refusal(s3, "put_object", Bucket=bucket, Key="configuration/router.yaml", Body=b""),
                refusal(s3, "list_objects_v2", Bucket=bucket, Prefix="configuration/"),
                refusal(s3, "delete_object", Bucket=bucket, Key="results/one"),
                refusal(dynamodb, "scan", TableName=outputs["table"]),
                refusal(dynamodb, "delete_table", TableName=outputs["table"]),
                refusal(functions, "invoke", FunctionName=f"{ROUTER}:live", Payload=b"{}"),
                refusal(functions, "invoke", FunctionName=f"{ROUTER}-small", Payload=b"{}"),
                refusal(sqs, "receive_message", QueueUrl=queue) if sends else refusal(sqs, "send_message", **message),
            ]
        assert all("AccessDenied" in code for code in refused), refused


@terraform("hybrid", scope="module", name="stack")
def test_the_configuration_can_be_checked_and_a_second_apply_changes_nothing(stack: Any, applied: Applied) -> None:
    written = parse(applied.outputs(stack)["configuration"].encode())
    assert set(written.backends) == {"small", "bedrock", "gpu"}
    assert applied.changes(stack) == []


@terraform("hybrid", scope="module", name="stack")
def test_a_destroy_leaves_nothing(stack: Any, applied: Applied) -> None:
    done = applied.run(stack, "destroy", "-auto-approve")
    assert done.returncode == 0, done.stderr
    assert applied.leftovers() == {}
