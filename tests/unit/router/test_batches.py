"""Files and batches over HTTP: OpenAI's client in front, a real bucket and a real state machine behind."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from lambda_llm.backends.errors import Kind
from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.records import Rights
from lambda_llm.openai_types.batches import RequestCounts
from lambda_llm.router.batches import Store, most_dollars, rights_for
from lambda_llm.router.config import Configuration
from lambda_llm.router.errors import UnknownError
from lambda_llm.router.settings import Identity
from lambda_llm.web.front_door import REQUEST_CONTEXT
from lambda_llm.web.request_body import BODY_BYTES_MAX
from scripts.local_aws.server import LocalAWS
from support.batch_store import ENDS, LINES, Place, clients_of
from support.batches import URL, World, line, raising
from support.budgets import Book
from support.routing import Routing, configuration, role, routing, signed_by

NOBODY = "http://127.0.0.1:1"
DOLLARS = 5.0
BATCH: dict[str, Any] = {"endpoint": "/v1/embeddings", "completion_window": "24h"}
FORM = {"purpose": "batch"}


@pytest.fixture(scope="module")
def aws(local_aws: LocalAWS) -> Iterator[tuple[Any, Any]]:
    with clients_of(local_aws) as made:
        yield made


@pytest.fixture
def place(aws: tuple[Any, Any]) -> Place:
    place = Place(*aws, ENDS, "store/")
    place.tenant = "acme"
    return place


def written(**changes: Any) -> dict[str, Any]:
    """A configuration in which acme may have batches, and poor may not."""
    given = configuration(NOBODY, batch_dollars=DOLLARS, **changes)
    given["tenants"] |= {
        "other": {"models": ["*"], "principals": [role("bob")], "batch_dollars": 1},
        "poor": {"models": ["*"], "principals": [role("mallory")]},
    }
    return given


@pytest.fixture
def router(tmp_path: Path, place: Place) -> Iterator[Routing]:
    store = Store(place.files, place.batches())
    with routing(tmp_path, written(), Book(), store=store) as running:
        yield running


@contextmanager
def client(router: Routing, name: str = "alice") -> Iterator[openai.OpenAI]:
    with (
        openai.DefaultHttpxClient(headers=signed_by(name)) as http,
        openai.OpenAI(base_url=f"{router.url}/v1", api_key="unused", http_client=http, max_retries=0) as asking,
    ):
        yield asking


def upload(asking: openai.OpenAI, content: bytes = LINES, name: str = "in.jsonl", **more: Any) -> Any:
    return asking.files.create(file=(name, content), purpose="batch", **more)


def refusal(answer: httpx2.Response) -> tuple[int, str, str | None, str]:
    """Status, code, field and sentence."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"], error["message"]


def test_a_file_is_kept_with_its_name_and_expiry(router: Routing, place: Place) -> None:
    with client(router) as asking:
        made = upload(asking, name="für März.jsonl", expires_after={"anchor": "created_at", "seconds": 7200})
        assert asking.files.retrieve(made.id) == made
        assert (made.filename, made.bytes, made.purpose) == ("für März.jsonl", len(LINES), "batch")
        assert made.expires_at == made.created_at + 7200
        without = upload(asking)
        assert without.expires_at is None
        assert {each.id for each in asking.files.list()} == {made.id, without.id}
        assert asking.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError, match="There is no file"):
            asking.files.retrieve(made.id)
    assert place.keys("files/") == [layout.file("acme", without.id)]


def test_a_file_is_as_large_as_a_request_and_never_on_disk(
    router: Routing, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/there/is/no/such/folder")
    content = b"x" * (BODY_BYTES_MAX - 1024)
    with client(router) as asking:
        made = upload(asking, content)
        assert made.bytes == len(content)
        with pytest.raises(openai.APIStatusError) as refused:
            upload(asking, content + b"x" * 2048)
    status, code, _, sentence = refusal(refused.value.response)
    assert (status, code) == (413, "request_too_large")
    assert "lambda-llm batch submit" in sentence
    assert f"{place.uri}{layout.uploads('acme')} " in sentence


def test_what_a_file_has_is_answered_by_s3(router: Routing) -> None:
    """The client follows; what may have 200 MB never goes through the function."""
    with client(router) as asking:
        made = upload(asking, LINES * 1000)
        assert asking.files.content(made.id).read() == LINES * 1000
    with router.client() as asking:
        answer = asking.get(f"/v1/files/{made.id}/content")
    assert (answer.status_code, answer.content) == (302, b"")
    assert "X-Amz-Expires=300" in answer.headers["location"]


def test_a_batch_is_answered_as_openai_answers_one(tmp_path: Path, aws: tuple[Any, Any]) -> None:
    """The client, the router and the batch's functions; what they answer has the types of OpenAI's SDK."""
    world = World(aws[0])
    world.model.fates["poison"] = raising(Kind.INVALID)
    store = Store(world.files(), world.batches())
    with routing(tmp_path, written(), Book(), store=store) as router, client(router) as asking:
        sent = upload(asking, line("one", "Hi") + line("two", "poison") + line("three", "Bye"))
        made = asking.batches.create(input_file_id=sent.id, endpoint=URL, completion_window="24h")
        world.run(world.batches().get("acme", made.id))
        ended = asking.batches.retrieve(made.id)
        assert ended.request_counts is not None
        assert (ended.status, ended.request_counts.model_dump()) == (
            "completed",
            {"total": 3, "completed": 2, "failed": 1},
        )
        assert ended.usage is not None
        assert ended.usage.total_tokens == 2 * (3 + 2)
        lines = [
            [json.loads(each) for each in asking.files.content(str(file)).text.splitlines()]
            for file in (ended.output_file_id, ended.error_file_id)
        ]
        texts = [each["response"]["body"]["choices"][0]["message"]["content"] for each in lines[0]]
        assert ([each["custom_id"] for each in lines[0]], texts) == (["one", "three"], ["You said Hi", "You said Bye"])
        assert [each["custom_id"] for each in lines[1]] == ["two"]
        with pytest.raises(openai.BadRequestError, match="is completed"):
            asking.batches.cancel(made.id)
        purposes = {each.id: each.purpose for each in asking.files.list()}
        outputs = dict.fromkeys([str(ended.output_file_id), str(ended.error_file_id)], "batch_output")
        assert purposes == {sent.id: "batch"} | outputs
        with router.client() as raw:
            for path, kind in (("files", openai.types.FileObject), ("batches", openai.types.Batch)):
                for each in raw.get(f"/v1/{path}").json()["data"]:
                    kind.model_validate(each)
            openai.types.FileDeleted.model_validate(raw.delete(f"/v1/files/{sent.id}").json())


def test_pages_are_followed_to_their_end(router: Routing, place: Place) -> None:
    for number in range(5):
        place.uploaded(name=str(number))
    with client(router) as asking:
        assert [each.filename for each in asking.files.list(limit=2)] == ["4", "3", "2", "1", "0"]
        assert [each.filename for each in asking.files.list(limit=2, order="asc")] == ["0", "1", "2", "3", "4"]
        assert list(asking.files.list(purpose="batch_output")) == []
        page = asking.files.list(limit=3)
        ids = [each.id for each in page.data]
        batches = []
        for _ in range(3):
            place.now += 1
            batches.append(asking.batches.create(input_file_id=ids[0], **BATCH).id)
        assert [each.id for each in asking.batches.list(limit=2)] == batches[::-1]
    with router.client() as asking:
        answer = asking.get("/v1/files", params={"limit": "3"}).json()
        empty = asking.get("/v1/batches", params={"after": batches[0]}).json()
    assert (answer["object"], answer["first_id"], answer["last_id"], answer["has_more"]) == (
        "list",
        ids[0],
        ids[2],
        True,
    )
    assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_batch_has_its_tenant_s_rights_and_no_more_dollars(router: Routing, place: Place) -> None:
    with client(router) as asking:
        file_id = upload(asking).id
        limits = {}
        for said in (None, 2.5, 500):
            more: dict[str, Any] = {
                "metadata": {"for": "me"},
                "extra_body": {} if said is None else {"max_dollars": said},
            }
            made = asking.batches.create(input_file_id=file_id, **BATCH, **more)
            record = place.batches().read("acme", made.id).record
            limits[said] = record.max_dollars
            assert record.rights == Rights(models=("chat",), place="account")
            assert asking.batches.retrieve(made.id) == made
            assert (made.status, made.metadata, made.input_file_id) == ("validating", {"for": "me"}, file_id)
    assert limits == {None: DOLLARS, 2.5: 2.5, 500: DOLLARS}
    assert len(place.executions()) == 3


def test_a_batch_of_an_upload_is_cancelled_once(router: Routing, place: Place) -> None:
    place.put(f"{layout.uploads('acme')}in.jsonl", LINES)
    with client(router) as asking:
        made = asking.batches.create(input_file_id=f"{place.files.uploads('acme')}in.jsonl", **BATCH)
        stored = place.batches().read("acme", made.id)
        running = stored.record.with_batch(status="in_progress", request_counts=RequestCounts(total=2))
        assert place.batches().change(stored, running) is not None
        place.put(layout.Mark(0, 1, 0, 5).key(made.id))
        found = asking.batches.retrieve(made.id)
        assert found.request_counts is not None
        assert found.request_counts.model_dump() == {"total": 2, "completed": 1, "failed": 0}
        assert asking.batches.cancel(made.id).status == "cancelling"
        assert asking.batches.cancel(made.id).status == "cancelling"
        stored = place.batches().read("acme", made.id)
        assert place.batches().change(stored, stored.record.with_batch(status="cancelled")) is not None
        with pytest.raises(openai.BadRequestError, match="is cancelled") as refused:
            asking.batches.cancel(made.id)
        assert refused.value.code == "invalid_state"
    assert layout.stop(made.id) in place.keys("work/")


def test_nothing_is_another_tenant_s(router: Routing) -> None:
    with client(router) as asking, router.client("bob") as bob:
        file_id = upload(asking).id
        batch_id = asking.batches.create(input_file_id=file_id, **BATCH).id
        answers = [
            bob.get(f"/v1/files/{file_id}"),
            bob.get(f"/v1/files/{file_id}/content"),
            bob.delete(f"/v1/files/{file_id}"),
            bob.get(f"/v1/batches/{batch_id}"),
            bob.post(f"/v1/batches/{batch_id}/cancel"),
            bob.post("/v1/batches", json={**BATCH, "input_file_id": file_id}),
        ]
        assert [refusal(each)[:3] for each in answers] == [
            *[(404, "not_found", "file_id")] * 3,
            *[(404, "not_found", "batch_id")] * 2,
            (404, "not_found", "input_file_id"),
        ]
        assert [bob.get(each).json()["data"] for each in ("/v1/files", "/v1/batches")] == [[], []]
        assert asking.batches.retrieve(batch_id).status == "validating"


def test_a_tenant_without_dollars_has_no_batches(router: Routing, place: Place) -> None:
    """But it reads and deletes what it had before."""
    place.tenant = "poor"
    file_id = place.uploaded()
    with router.client("mallory") as asking:
        answers = [
            asking.post("/v1/files", files={"file": ("in", LINES)}, data=FORM),
            asking.post("/v1/batches", json={**BATCH, "input_file_id": file_id}),
        ]
        assert [refusal(each)[:2] for each in answers] == [(403, "batches_not_allowed")] * 2
        assert asking.delete(f"/v1/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    with router.client("stranger") as asking:
        assert refusal(asking.get("/v1/files"))[:2] == (403, "no_tenant")


FILES: list[tuple[dict[str, Any], str | None, str]] = [
    ({"files": {"file": ("in", LINES)}, "data": {"purpose": "fine-tune"}}, "purpose", "purpose must be batch"),
    ({"files": {"file": ("in", LINES)}}, "purpose", "purpose must be batch"),
    ({"files": {"data": ("in", LINES)}, "data": FORM}, "data", "A file has no field 'data': use file, purpose"),
    ({"files": {"file": (None, LINES)}, "data": FORM}, "file", "file must be a file with a name"),
    ({"files": {"file": ("n" * 256, LINES)}, "data": FORM}, "file", "name must have 1 to 255 bytes"),
    ({"files": {"purpose": (None, "batch")}}, "file", "file must be a file"),
    (
        {"files": {"file": ("in", LINES)}, "data": {**FORM, "expires_after[seconds]": "7200"}},
        "expires_after.anchor",
        r"expires_after.anchor can't be used \(field required\)",
    ),
    *(
        (
            {
                "files": {"file": ("in", LINES)},
                "data": {**FORM, "expires_after[anchor]": "created_at", "expires_after[seconds]": said},
            },
            "expires_after.seconds",
            "expires_after.seconds can't be used",
        )
        for said in ("1", "1e9", "9" * 5000, "-3600")
    ),
    ({"json": FORM}, None, "multipart/form-data with the fields file and purpose"),
    ({"content": LINES, "headers": {"content-type": "multipart/form-data"}}, None, r"can't be read \(Missing boundary"),
    (
        {"content": LINES, "headers": {"content-type": "multipart/form-data; boundary=b"}},
        None,
        r"can't be read \(Invalid multipart",
    ),
    (
        {"files": [("file", ("one", LINES)), ("file", ("two", LINES))], "data": FORM},
        None,
        r"can't be read \(Too many files",
    ),
]


@pytest.mark.parametrize(("given", "param", "says"), FILES)
def test_what_is_wrong_with_a_file_is_one_sentence(
    router: Routing, place: Place, given: dict[str, Any], param: str | None, says: str
) -> None:
    with router.client() as asking:
        answer = asking.post("/v1/files", **given)
    status, code, named, sentence = refusal(answer)
    assert (status, code, named) == (400, "invalid_body" if param is None else "invalid_value", param)
    assert pytest.RaisesExc(ValueError, match=says).matches(ValueError(sentence)), sentence
    assert place.keys("files/") == []


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/audio"}, "endpoint"),
        ({"completion_window": "1d"}, "completion_window"),
        ({"completion_window": "169h"}, "completion_window"),
        ({"input_file_id": None}, "input_file_id"),
        ({"input_file_id": "s3://another/in.jsonl"}, "input_file_id"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"max_dollars": -1}, "max_dollars"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
        ({"priority": 1}, "priority"),
    ],
)
def test_what_is_wrong_with_a_batch_is_one_sentence(
    router: Routing, place: Place, changes: dict[str, Any], param: str
) -> None:
    with router.client() as asking:
        answer = asking.post("/v1/batches", json={**BATCH, "input_file_id": place.uploaded(), **changes})
    assert refusal(answer)[:3] == (400, "invalid_value", param)
    assert place.keys("batches/") == []


def test_what_is_no_json_is_no_batch(router: Routing) -> None:
    with router.client() as asking:
        answers = [asking.post("/v1/batches", content=each) for each in (b"{", b"", b"[]")]
    assert [refusal(each)[:2] for each in answers] == [*[(400, "invalid_json")] * 2, (400, "invalid_value")]


@pytest.mark.parametrize(
    ("path", "param", "says"),
    [
        ("/v1/files?limit=0", "limit", "from 1 to 10,000"),
        ("/v1/files?limit=10001", "limit", "from 1 to 10,000"),
        (f"/v1/files?limit={'9' * 5000}", "limit", "from 1 to 10,000"),
        ("/v1/batches?limit=101", "limit", "from 1 to 100"),
        ("/v1/batches?limit=ten", "limit", "from 1 to 100"),
        ("/v1/files?order=size", "order", "asc or desc"),
        ("/v1/files?purpose=vision", "purpose", "batch or batch_output"),
        ("/v1/files?after=1", "after", "the id of a file"),
        ("/v1/batches?after=1", "after", "the id of a batch"),
    ],
)
def test_what_is_wrong_with_a_list_is_one_sentence(router: Routing, path: str, param: str, says: str) -> None:
    with router.client() as asking:
        status, code, named, sentence = refusal(asking.get(path))
    assert (status, code, named) == (400, "invalid_value", param)
    assert says in sentence


PATHS = [
    ("POST", "/v1/files"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/file-1"),
    ("DELETE", "/v1/files/file-1"),
    ("GET", "/v1/files/file-1/content"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/batches"),
    ("GET", "/v1/batches/batch_1"),
    ("POST", "/v1/batches/batch_1/cancel"),
]


def test_a_router_without_a_store_says_so(tmp_path: Path) -> None:
    with routing(tmp_path, written(), Book()) as router, router.client() as asking:
        answers = [asking.request(method, path) for method, path in PATHS]
        too_large = asking.post("/v1/files", content=b"x" * (BODY_BYTES_MAX + 1))
    for each in (*answers, too_large):
        status, code, param, sentence = refusal(each)
        assert (status, code, param) == (400, "not_configured", None)
        assert "set LAMBDA_LLM_ROUTER_BATCHES and LAMBDA_LLM_ROUTER_BATCH_MACHINE" in sentence


def test_a_store_that_does_not_answer_is_asked_again_later(tmp_path: Path, place: Place) -> None:
    missing = "s3://there-is-no-such-bucket/"
    batches = Batches(missing, place.s3, place.states, place.machine)
    with (
        routing(tmp_path, written(), Book(), store=Store(place.files, batches)) as router,
        router.client() as asking,
    ):
        answer = asking.get("/v1/batches")
    assert refusal(answer)[:2] == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_limit_of_the_authorizer_is_not_got_round(tmp_path: Path, place: Place) -> None:
    store = Store(place.files, place.batches())
    with routing(tmp_path, written(), Book(), Identity.AUTHORIZER, store) as router:
        said = {"tenant": "acme", "max_tokens": "7"}
        with httpx2.Client(base_url=router.url, headers=authorized(said)) as asking:
            body = {**BATCH, "input_file_id": place.uploaded()}
            status, code, _, sentence = refusal(asking.post("/v1/batches", json=body))
            assert (status, code) == (403, "batches_not_allowed")
            assert "answers of 7 tokens" in sentence
        with httpx2.Client(base_url=router.url, headers=authorized({"tenant": "acme"})) as asking:
            assert asking.post("/v1/batches", json=body).status_code == 200


def authorized(said: dict[str, str]) -> dict[str, str]:
    return {REQUEST_CONTEXT: json.dumps({"authorizer": {"lambda": said}})}


def rights(**changes: Any) -> Configuration:
    given = written()
    given["models"]["checked"] = {"backends": ["backend-0"], **changes}
    given["guardrails"] = {"g": {"id": "abc", "version": "1", "region": "eu-central-1"}}
    return Configuration.model_validate(given)


def test_models_with_a_guardrail_are_for_no_batch() -> None:
    """Nothing of a batch passes it."""
    assert rights_for(rights(), "other") == Rights(models=None, place="account")
    assert rights_for(rights(guardrail="g"), "other") == Rights(models=("chat",), place="account")
    assert rights_for(rights(guardrail="g"), "acme") == Rights(models=("chat",), place="account")
    assert most_dollars(rights(), "acme") == DOLLARS
    with pytest.raises(UnknownError):
        most_dollars(rights(), "poor")
