"""Background responses as clients see them: once by key, theirs alone, and gone in the end."""

import asyncio
import functools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai.types.responses import Response

from lambda_llm.router.app import create_app
from lambda_llm.router.background import ANSWER_SECONDS, KEPT_SECONDS
from lambda_llm.router.budget import Amount, BudgetError, Limits
from lambda_llm.router.errors import (
    ConflictError,
    NoBackendError,
    NotFoundError,
    RequestError,
    ResultsError,
    UnknownError,
)
from lambda_llm.router.identity import tenant_of
from lambda_llm.router.ledger import LAPSE_SECONDS
from lambda_llm.router.live import Live
from lambda_llm.router.settings import Identity
from lambda_llm.router.source import FileSource, Reloading
from lambda_llm.web.front_door import REQUEST_CONTEXT, FrontDoor, from_adapter
from scripts.local_aws.server import LocalAWS
from support.background import BODY, PRICE, SECONDS, Fate, KilledError, Stage, answered, clients_of
from support.budgets import make_table
from support.event_streams import AnsweringServer, answering

STEPS = ["get_object", "get_item", "get_item", "get_item", "put_object", "send_message"]
"""What the front door asks AWS for where there is a key: look for the response, the budgets' windows, store, queue."""

NOTHING = Amount()
NOBODY = "There is no such response: it was not sent with background, was another tenant's, or has expired."


@pytest.fixture(scope="module")
def made(local_aws: LocalAWS) -> Iterator[dict[str, Any]]:
    with clients_of(local_aws) as made:
        yield made


@pytest.fixture(scope="module")
def table(local_aws: LocalAWS) -> str:
    return make_table(local_aws, "llm-budgets-background")


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with answering(answered()) as server:
        yield server


@pytest.fixture
def stage(
    made: dict[str, Any], table: str, server: AnsweringServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    stage = Stage(made, table, tmp_path, monkeypatch)
    stage.configure(server.url)
    return stage


def work(stage: Stage) -> None:
    stage.until_done(stage.received())


def test_a_client_of_openais_reads_every_status(stage: Stage) -> None:
    """As its types have them, not only as its parser lets them through."""
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [],
        "temperature": 0.5,
        "reasoning": {"effort": "low"},
    }
    sent = stage.submit(**asked)
    response = Response.model_validate(sent)
    assert (response.status, response.background, response.model, response.output) == ("queued", True, "chat", [])
    assert (response.instructions, response.temperature, response.max_output_tokens) == ("Be brief.", 0.5, 50)
    assert (response.reasoning.effort if response.reasoning else None) == "low"
    assert stage.get(sent["id"]) == sent
    assert Response.model_validate(stage.cancel(sent["id"])).status == "cancelled"
    sent = stage.submit()
    work(stage)
    response = Response.model_validate(stage.get(sent["id"]))
    assert (response.status, response.output_text, response.id) == ("completed", "Hi", sent["id"])
    stage.configure("http://127.0.0.1:9")  # nobody is there
    sent = stage.submit()
    work(stage)
    response = Response.model_validate(stage.get(sent["id"]))
    assert (response.status, response.error.code if response.error else None) == ("failed", "server_error")


def test_what_has_ended_is_not_cancelled_any_more(stage: Stage) -> None:
    sent = stage.submit()
    work(stage)
    ended = stage.get(sent["id"])
    assert stage.cancel(sent["id"]) == ended == stage.get(sent["id"])


def test_cancelled_in_the_queue_it_costs_nothing(stage: Stage) -> None:
    sent = stage.submit()
    first = stage.cancel(sent["id"])
    assert first["status"] == "cancelled"
    work(stage)
    assert stage.cancel(sent["id"]) == first
    assert stage.spent() == (NOTHING, NOTHING)


def test_a_key_makes_one_request_of_many(stage: Stage) -> None:
    """Sent again before its answer, after it, and by many at once."""
    background = stage.background()
    with ThreadPoolExecutor(4) as pool:
        all_of = list(pool.map(lambda _: asyncio.run(background.submit(stage.tenant, BODY, "key")), range(8)))
    assert all_of == 8 * all_of[:1]
    work(stage)
    assert stage.submit("key") == stage.get(all_of[0]["id"])
    assert stage.submit("key")["status"] == "completed"
    assert stage.received() == []
    assert len(stage.objects()) == 1
    assert stage.spent() == (PRICE, NOTHING)


async def over_http(stage: Stage, authorized: dict[str, str], *bodies: dict[str, Any]) -> list[httpx2.Response]:
    """What the router answers behind an authorizer, to all at once."""
    live = Live(Reloading(FileSource(stage.configuration)), stage.ledger)
    app = create_app(live, functools.partial(tenant_of, Identity.AUTHORIZER), stage.background())
    app.add_middleware(FrontDoor, context_of=from_adapter, tenants=True)
    headers = {
        REQUEST_CONTEXT: json.dumps({"authorizer": {"lambda": {"tenant": stage.tenant, **authorized}}}),
        "idempotency-key": "key",
    }
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://router", headers=headers
    ) as asking:
        answers = await asyncio.gather(*(asking.post("/v1/responses", json=body) for body in bodies))
    await live.close()
    return answers


@pytest.mark.parametrize(("said", "sent"), [(None, 7), (50, 7), (7, 7), (5, 5)])
async def test_the_authorizer_limits_what_is_answered_later(
    stage: Stage, server: AnsweringServer, said: int | None, sent: int
) -> None:
    body = {name: value for name, value in BODY.items() if name != "max_output_tokens"}
    body |= {} if said is None else {"max_output_tokens": said}
    (answer,) = await over_http(stage, {"max_tokens": "7"}, body)
    assert (answer.status_code, answer.json()["max_output_tokens"]) == (200, sent)
    await asyncio.to_thread(work, stage)
    (asked,) = server.asked
    assert asked.json["max_output_tokens"] == sent


@pytest.mark.parametrize("said", [-1, 0.5, "50", True])
async def test_nobody_talks_an_authorizer_out_of_its_limit(stage: Stage, server: AnsweringServer, said: object) -> None:
    (answer,) = await over_http(stage, {"max_tokens": "7"}, {**BODY, "max_output_tokens": said})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "max_output_tokens")
    assert (stage.objects(), stage.received(), server.asked) == ([], [], [])


async def test_a_key_makes_one_request_of_many_over_http(stage: Stage, server: AnsweringServer) -> None:
    answers = await over_http(stage, {}, *[BODY] * 8)
    assert [each.status_code for each in answers] == [200] * 8
    assert len({each.json()["id"] for each in answers}) == 1
    await asyncio.to_thread(work, stage)
    assert len(server.asked) == 1


def test_a_key_does_not_depend_on_the_order_of_fields(stage: Stage) -> None:
    background = stage.background()
    one = asyncio.run(background.submit(stage.tenant, BODY, "key"))
    assert asyncio.run(background.submit(stage.tenant, dict(reversed(BODY.items())), "key")) == one


def test_a_key_is_not_another_requests(stage: Stage) -> None:
    sent = stage.submit("key")
    with pytest.raises(ConflictError, match="The Idempotency-Key is that of another request"):
        stage.submit("key", input="something else")
    assert stage.get(sent["id"]) == sent
    assert stage.submit("another key", input="something else")["id"] != sent["id"]


def test_without_a_key_each_is_another_one(stage: Stage) -> None:
    assert len({stage.submit()["id"] for _ in range(3)}) == 3
    work(stage)
    assert stage.spent() == (Amount(3 * PRICE.tokens, 3 * PRICE.micro_dollars), NOTHING)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_dead_at_any_step_a_request_is_sent_again_with_its_key(stage: Stage, step: int, *, done: bool) -> None:
    fate = Fate(step, done=done)
    with pytest.raises(KilledError):
        stage.submit("key", fate)
    assert fate.names == STEPS[: step + 1]
    sent = stage.submit("key")
    work(stage)
    assert stage.get(sent["id"])["status"] == "completed"
    assert stage.submit("key")["status"] == "completed"
    assert len(stage.objects()) == 1
    assert stage.spent() == (PRICE, NOTHING)


def test_another_tenant_finds_nothing(stage: Stage) -> None:
    """And is told nothing: neither by id, nor by key, nor by the sentence."""
    sent = stage.submit("key")
    background = stage.background()
    for ask in (background.get, background.cancel):
        for response_id in (sent["id"], "resp_" + "0" * 48, "resp_", "../" + sent["id"], ""):
            with pytest.raises(NotFoundError) as none:
                asyncio.run(ask(stage.other, response_id))
            assert str(none.value) == NOBODY
    theirs = asyncio.run(background.submit(stage.other, BODY | {"input": "theirs"}, "key"))
    assert theirs["id"] != sent["id"]
    assert stage.get(sent["id"])["status"] == "queued"
    work(stage)
    assert stage.spent() == stage.spent(stage.other) == (PRICE, NOTHING)
    assert not set(stage.objects()) & set(stage.objects(stage.other))


def test_a_response_expires_whatever_s3_has(stage: Stage) -> None:
    sent = stage.submit("key")
    work(stage)
    stage.now = sent["created_at"] + KEPT_SECONDS - 1
    assert stage.get(sent["id"])["status"] == "completed"
    stage.now += 1
    assert sent["expires_at"] == stage.now
    assert len(stage.objects()) == 1
    for ask in (stage.get, stage.cancel):
        with pytest.raises(NotFoundError) as none:
            ask(sent["id"])
        assert str(none.value) == NOBODY
    again = stage.submit("key", input="another one")
    assert (again["id"], again["status"]) == (sent["id"], "queued")
    before, _ = stage.spent()
    work(stage)
    assert stage.get(sent["id"])["status"] == "completed"
    assert stage.spent() == (before + PRICE, NOTHING), "it is another request, and is charged"


def test_what_nobody_answers_fails_when_it_is_read(stage: Stage) -> None:
    sent = stage.submit()
    stage.now += ANSWER_SECONDS
    response = stage.get(sent["id"])
    assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
    work(stage)
    assert stage.get(sent["id"]) == response
    assert stage.spent() == (NOTHING, NOTHING)


def test_while_a_worker_answers_it_is_not_too_late(stage: Stage) -> None:
    sent = stage.submit()
    stage.now += ANSWER_SECONDS - 1
    with pytest.raises(KilledError):
        stage.deliver(stage.received(), function=stage.function(Fate(1, done=True)))
    stage.now += SECONDS - 1
    assert stage.get(sent["id"])["status"] == "in_progress"
    stage.now += 1
    assert stage.get(sent["id"])["status"] == "failed"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"stream": True}, "stream"),
        ({"store": False}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
def test_what_there_is_not_in_the_background_is_refused_by_name(
    stage: Stage, changes: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError, match=param) as refused:
        stage.submit(**changes)
    assert refused.value.param == param
    assert (stage.objects(), stage.received()) == ([], [])


@pytest.mark.parametrize("changes", [{"stream": False}, {"store": True}, {"stream": None, "conversation": None}])
def test_what_changes_nothing_is_accepted(stage: Stage, changes: dict[str, Any]) -> None:
    assert stage.submit(**changes)["status"] == "queued"


@pytest.mark.parametrize("key", ["", "x" * 256, "ä", "a\nb"])
def test_a_key_that_is_none_is_refused(stage: Stage, key: str) -> None:
    with pytest.raises(RequestError, match="1 to 255 printable ASCII characters"):
        stage.submit(key)


def test_what_a_tenant_may_not_do_is_refused_at_once(stage: Stage) -> None:
    """Model, room of the backend, budget: before anything is stored."""
    with pytest.raises(UnknownError, match="There is no model 'none' for this tenant"):
        stage.submit(model="none")
    with pytest.raises(NoBackendError, match="has a context of 8,192 tokens"):
        stage.submit(input="word " * 8192)
    url = json.loads(stage.configuration.read_text())["backends"]["server"]["url"]
    stage.configure(url, models=[])
    with pytest.raises(UnknownError):
        stage.submit()
    stage.configure(url, day={"tokens": 70})
    with pytest.raises(BudgetError, match="more than the tenant's whole budget"):
        stage.submit(max_output_tokens=80)
    stage.ledger.reserve(stage.tenant, Amount(10), Limits(), "another", stage.now)
    with pytest.raises(BudgetError, match="has 60 tokens left"):
        stage.submit()
    assert (stage.objects(), stage.received()) == ([], [])


def test_what_lost_requests_have_reserved_does_not_keep_others_out(stage: Stage) -> None:
    """Whoever has nothing but responses in the background would be kept out for as long as the window lasts."""
    url = json.loads(stage.configuration.read_text())["backends"]["server"]["url"]
    stage.configure(url, month={"tokens": 70})
    stage.ledger.reserve(stage.tenant, Amount(60), Limits(), "lost", stage.now)
    with pytest.raises(BudgetError):
        stage.submit()
    stage.now += LAPSE_SECONDS
    assert stage.submit()["status"] == "queued"
    assert stage.spent() == (NOTHING, NOTHING)


def test_where_s3_or_the_queue_is_not_there_it_says_so(stage: Stage) -> None:
    background = stage.background()
    stage.erase()
    stage.sqs.delete_queue(QueueUrl=stage.queue)
    with pytest.raises(ResultsError, match=r"could not be queued .*: send it again with the same Idempotency-Key"):
        asyncio.run(background.submit(stage.tenant, BODY, "key"))
    stage.erase()
    stage.s3.delete_bucket(Bucket=stage.bucket)
    with pytest.raises(ResultsError, match=r"can't be read or written \(.*NoSuchBucket.*s3:ListBucket on the bucket"):
        asyncio.run(background.submit(stage.tenant, BODY, "key"))
