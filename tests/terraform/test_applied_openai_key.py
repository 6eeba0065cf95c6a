"""examples/openai-key, applied: a base URL and a key are all that the unchanged `openai` client has.

The local AWS throttles by usage plan and has the authorizer name the API key, as AWS does; of a streamed answer it
knows only how the integration is configured, and sends it whole.
"""

import hashlib
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from support.answers import EXPECTED, QUESTION, user
from support.applied import Applied, refusal, terraform
from support.modules import TERRAFORM_FROM
from support.servers import LIMIT_SECONDS

FUNCTION = "lambda-llm-key"
AUTHORIZER = f"{FUNCTION}-authorizer"
BUCKET = "models-behind-the-door"
PLENTY: dict[str, Any] = {"requests_per_second": 100, "burst": 100}
PLANS: dict[str, dict[str, Any]] = {
    "standard": PLENTY | {"tenants": ["search", "support"]},
    "slow": {"requests_per_second": 0.001, "burst": 1, "tenants": ["search"]},
    "few": PLENTY | {"quota": {"requests": 1, "period": "MONTH"}, "tenants": ["search"]},
    "closed": PLENTY | {"tenants": []},
}


@pytest.fixture(scope="module", autouse=True)
def pushed(applied: Applied, demo_model: Path) -> Iterator[None]:
    """The model is in a bucket, and the example has its plans."""
    applied.aws.make_bucket(BUCKET)
    applied.push(demo_model, f"s3://{BUCKET}/demo.gguf", "openai-key")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TF_VAR_plans", json.dumps(PLANS))
        patched.setenv("TF_VAR_account_log_role", "true")
        yield


pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)


def keys(applied: Applied, example: Any, *arguments: str) -> dict[str, Any]:
    """What `lambda-llm keys` prints."""
    table = applied.outputs(example)["table_name"]
    command = ["lambda-llm", "keys", *arguments, "--table", table, "--json"]
    done = subprocess.run(command, env=applied.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.fixture
def key(openai_key: Any, applied: Applied) -> Callable[..., dict[str, Any]]:
    """Takes a tenant and a plan, and makes a key."""

    def create(tenant: str = "search", plan: str = "standard", *more: str) -> dict[str, Any]:
        return keys(applied, openai_key, "create", "--tenant", tenant, "--plan", plan, *more)

    return create


@pytest.fixture
def client(openai_key: Any, applied: Applied) -> Iterator[Callable[[str], openai.OpenAI]]:
    """Takes a key, and gives a client that knows it and the base URL."""
    made: list[openai.OpenAI] = []

    def connect(key: str) -> openai.OpenAI:
        made.append(openai.OpenAI(base_url=applied.outputs(openai_key)["base_url"], api_key=key, max_retries=0))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def answer(client: openai.OpenAI) -> str:
    """The answer to the question, streamed."""
    stream = client.responses.create(model="lambda-llm-demo", input=QUESTION, temperature=0, stream=True)
    return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


def refused(client: openai.OpenAI, kind: type[openai.APIStatusError] = openai.AuthenticationError) -> str:
    """The code of the error with which a request is refused, whose message is a sentence."""
    with pytest.raises(kind) as raised:
        client.models.list()
    body = raised.value.body
    assert isinstance(body, dict)
    assert body["message"].endswith(".")
    return str(body["code"])


def status(applied: Applied, example: Any, path: str = "/v1/models", **headers: str) -> int:
    """Status of the answer to a request with these headers."""
    url = applied.outputs(example)["base_url"].removesuffix("/v1") + path
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.get(url, headers=named, timeout=LIMIT_SECONDS).status_code


@terraform("openai-key", scope="module", name="openai_key")
def test_whoever_has_a_key_is_answered(openai_key: Any, key: Any, client: Any) -> None:
    assert openai_key
    of_search = client(key()["key"])
    assert EXPECTED in answer(of_search)
    question: Any = [user(QUESTION)]
    whole = of_search.chat.completions.create(model="lambda-llm-demo", messages=question, temperature=0)
    assert EXPECTED in (whole.choices[0].message.content or "")


@terraform("openai-key", scope="module", name="openai_key")
def test_the_terminal_s_chat_takes_a_key_too(openai_key: Any, applied: Applied, key: Any) -> None:
    url = applied.outputs(openai_key)["base_url"]
    command = ["lambda-llm", "chat", url, "--temperature", "0", "--ask", QUESTION]
    for given, status, said in ((key()["key"], 0, EXPECTED), ("sk-wrong", 1, "The key or token is unknown")):
        environment = {**applied.environment, "LAMBDA_LLM_KEY": given}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert said in " ".join((done.stdout + done.stderr).split())
        assert "IAM" not in done.stderr


@terraform("openai-key", scope="module", name="openai_key")
def test_a_second_apply_changes_nothing(openai_key: Any, applied: Applied) -> None:
    assert applied.changes(openai_key) == []


@terraform("openai-key", scope="module", name="openai_key")
def test_the_provider_passes_on_that_the_answer_is_streamed(openai_key: Any, applied: Applied) -> None:
    api = applied.outputs(openai_key)["api_id"]
    with closing(applied.aws.client("apigateway")) as gateway:
        (found,) = [one for one in gateway.get_resources(restApiId=api)["items"] if one["path"] != "/"]
        integration = gateway.get_integration(restApiId=api, resourceId=found["id"], httpMethod="ANY")
        method = gateway.get_method(restApiId=api, resourceId=found["id"], httpMethod="ANY")
        (authorizer,) = gateway.get_authorizers(restApiId=api)["items"]
        assert gateway.get_rest_api(restApiId=api)["apiKeySource"] == "AUTHORIZER"
    assert (integration["responseTransferMode"], integration["timeoutInMillis"]) == ("STREAM", 900_000)
    assert integration["uri"].endswith(f":function:{FUNCTION}:live/response-streaming-invocations")
    assert (found["path"], method["authorizationType"], method["apiKeyRequired"]) == ("/{proxy+}", "CUSTOM", True)
    assert (authorizer["id"], authorizer["type"]) == (method["authorizerId"], "REQUEST")
    assert authorizer["authorizerResultTtlInSeconds"] == 30


@terraform("openai-key", scope="module", name="openai_key")
def test_whoever_has_none_is_refused_everywhere(openai_key: Any, applied: Applied) -> None:
    assert status(applied, openai_key) == 401
    assert status(applied, openai_key, "/health") == 401
    assert status(applied, openai_key, "/v1/models", authorization="Basic c2stOg==") == 401
    assert status(applied, openai_key, "/") == 404


@terraform("openai-key", scope="module", name="openai_key")
def test_guessing_finds_nothing_and_leaves_no_guess_in_a_log(openai_key: Any, applied: Applied, client: Any) -> None:
    assert openai_key
    # The local AWS starts the authorizer anew after each refusal, so they are few.
    guesses = [f"sk-{secrets.token_urlsafe(32)}", f"sk-{secrets.token_urlsafe(32)}", "sk-wrong"]
    assert [refused(client(guess)) for guess in guesses] == ["invalid_api_key"] * 3
    log = applied.log(f"/aws/lambda/{AUTHORIZER}")
    assert "refused: unknown key" in log
    assert [guess for guess in guesses if guess in log] == []


@terraform("openai-key", scope="module", name="openai_key")
def test_an_expired_key_is_refused(openai_key: Any, applied: Applied, key: Any, client: Any) -> None:
    made = key("search", "standard", "--expires-in", "1m")["key"]
    with closing(applied.aws.client("dynamodb")) as table:
        table.update_item(
            TableName=applied.outputs(openai_key)["table_name"],
            Key={"key_hash": {"S": hashlib.sha256(made.encode()).hexdigest()}},
            UpdateExpression="SET expires_at = :past",
            ExpressionAttributeValues={":past": {"N": "1"}},
        )
    assert refused(client(made)) == "invalid_api_key"


@terraform("openai-key", scope="module", name="openai_key")
def test_two_keys_of_a_tenant_overlap_until_one_is_revoked(
    openai_key: Any, applied: Applied, key: Any, client: Any
) -> None:
    old, new = key(), key()
    assert EXPECTED in answer(client(old["key"]))
    assert EXPECTED in answer(client(new["key"]))
    keys(applied, openai_key, "revoke", old["key_id"])
    # API Gateway keeps what the authorizer said of this very header for a while; the authorizer itself forgets at once.
    assert status(applied, openai_key, authorization=f"bearer {old['key']}") == 401
    assert status(applied, openai_key, authorization=f"bearer {new['key']}") == 200
    never_used = key()
    keys(applied, openai_key, "revoke", never_used["key_id"])
    assert refused(client(never_used["key"])) == "invalid_api_key"


@terraform("openai-key", scope="module", name="openai_key")
@pytest.mark.parametrize(("tenant", "plan"), [("stranger", "standard"), ("search", "closed"), ("search", "other")])
def test_a_key_of_a_tenant_in_no_plan_is_refused(
    openai_key: Any, applied: Applied, key: Any, client: Any, tenant: str, plan: str
) -> None:
    made = key(tenant, plan)["key"]
    assert refused(client(made), openai.PermissionDeniedError) == "no_plan"
    # Nor does it help to name the API key of another.
    with closing(applied.aws.client("apigateway")) as gateway:
        known = gateway.get_api_keys(includeValues=True)["items"]
    assert len(known) == sum(len(limits["tenants"]) for limits in PLANS.values())
    assert {status(applied, openai_key, authorization=f"Bearer {made}", x_api_key=one["value"]) for one in known} == {
        403
    }


def evaluated_before(client: openai.OpenAI, question: str) -> int:
    """How many tokens of the prompt a cache had."""
    asked = client.responses.create(model="lambda-llm-demo", input=question, max_output_tokens=1)
    assert asked.usage
    return asked.usage.input_tokens_details.cached_tokens


@terraform("openai-key", scope="module", name="openai_key")
def test_the_function_is_told_the_tenant_whatever_the_caller_says(openai_key: Any, key: Any, client: Any) -> None:
    assert openai_key
    support, search = client(key("support")["key"]), client(key("search")["key"])
    forged = json.dumps({"authorizer": {"tenant": "support", "plan": "standard", "key_id": "key_1"}})
    disguised = search.with_options(
        default_headers={"x-amzn-request-context": forged, "x-amz-tenant-id": "support", "x-tenant": "support"}
    )
    question = "What does the support team ask first thing in the morning?"
    evaluated_before(support, question)
    whole = evaluated_before(support, question)
    assert evaluated_before(disguised, question) < whole
    assert evaluated_before(search, question) == whole  # what it asked in disguise, it asked as itself


@terraform("openai-key", scope="module", name="openai_key")
def test_limits_are_those_of_the_key_s_plan(openai_key: Any, key: Any, client: Any) -> None:
    assert openai_key
    slow, few = client(key("search", "slow")["key"]), client(key("search", "few")["key"])
    assert slow.models.list().data[0].id == few.models.list().data[0].id == "lambda-llm-demo"
    assert refused(slow, openai.RateLimitError) == "rate_limit_exceeded"
    assert refused(few, openai.RateLimitError) == "insufficient_quota"
    # Another tenant's requests count apart.
    assert client(key("support")["key"]).models.list().data


@terraform("openai-key", scope="module", name="openai_key")
def test_the_authorizer_may_look_keys_up_and_nothing_else(openai_key: Any, applied: Applied) -> None:
    table = applied.outputs(openai_key)["table_name"]
    item = {"key_hash": {"S": "0" * 64}}
    with closing(applied.aws.client("dynamodb")) as dynamodb:
        dynamodb.create_table(
            TableName="another-table",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "key_hash", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key_hash", "AttributeType": "S"}],
        )
    tried = {
        "another table": ("dynamodb", "get_item", {"TableName": "another-table", "Key": item}),
        "reading all keys": ("dynamodb", "scan", {"TableName": table}),
        "several keys": ("dynamodb", "batch_get_item", {"RequestItems": {table: {"Keys": [item]}}}),
        "making a key": ("dynamodb", "put_item", {"TableName": table, "Item": item}),
        "changing a key": ("dynamodb", "update_item", {"TableName": table, "Key": item}),
        "deleting a key": ("dynamodb", "delete_item", {"TableName": table, "Key": item}),
        "deleting the table": ("dynamodb", "delete_table", {"TableName": table}),
        "listing tables": ("dynamodb", "list_tables", {}),
        "the model": ("lambda", "invoke", {"FunctionName": FUNCTION}),
        "its bucket": ("s3", "get_object", {"Bucket": BUCKET, "Key": "demo.gguf"}),
        "API keys": ("apigateway", "get_api_keys", {}),
    }
    credentials = applied.role_credentials(AUTHORIZER)
    answered = {}
    for what, (service, operation, given) in tried.items():
        with closing(applied.aws.client(service, credentials)) as one:
            answered[what] = refusal(one, operation, **given)
    allowed = {what: code for what, code in answered.items() if code not in {"AccessDenied", "AccessDeniedException"}}
    assert allowed == {}
    with closing(applied.aws.client("dynamodb", credentials)) as dynamodb:
        assert refusal(dynamodb, "get_item", TableName=table, Key=item) == ""
    with closing(applied.aws.client("dynamodb")) as dynamodb:
        dynamodb.delete_table(TableName="another-table")


@terraform("openai-key", scope="module", name="openai_key")
def test_a_buffered_function_has_the_same_door(openai_key: Any, applied: Applied, key: Any, client: Any) -> None:
    before = applied.outputs(openai_key)["base_url"]
    done = applied.run(openai_key, "apply", "-auto-approve", streaming="false")
    assert done.returncode == 0, done.stderr
    assert applied.outputs(openai_key)["base_url"] == before
    assert EXPECTED in answer(client(key("support")["key"]))
    assert status(applied, openai_key) == 401


@terraform("openai-key", scope="module", name="openai_key")
def test_destroy_leaves_the_bucket_and_nothing_else(openai_key: Any, applied: Applied) -> None:
    assert set(applied.leftovers()) >= {"tables", "APIs", "API keys", "usage plans"}
    done = applied.run(openai_key, "destroy", "-auto-approve", streaming="false")
    assert done.returncode == 0, done.stderr
    left = applied.leftovers()
    assert [bucket["Name"] for bucket in left.pop("buckets")] == [BUCKET]
    assert left == {}
    assert applied.processes(FUNCTION) + applied.processes(AUTHORIZER) == []
