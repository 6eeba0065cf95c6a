"""Probes of the router's backends, against servers on loopback with the shapes and the failures of AWS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.cli.probes import backend as probes
from support.command_line import Run
from support.event_streams import EVENT_STREAM, JSON, SSE, Answer, AnsweringServer, answering, event
from support.router import written

USAGE = {"prompt_tokens": 9, "completion_tokens": 1}
WHOLE = json.dumps({"choices": [{"message": {"content": "One"}}], "usage": USAGE}).encode()
DELTAS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("One", " two", " ")
]
EVENTS = [f"data: {json.dumps(each)}\n\n".encode() for each in [*DELTAS, {"choices": [], "usage": USAGE}]]
DONE = b"data: [DONE]\n\n"
ZERO = json.dumps({"Message": "Inference Component has no capacity to process this request."}).encode()
REFUSED = Answer([b'{"message": "Missing Authentication Token"}'], 403, JSON)

STREAM = Answer([*EVENTS, DONE], headers=SSE)
ONE = Answer([WHOLE], headers=JSON)
RIGHT = [ONE, STREAM, ONE, STREAM, ONE, REFUSED]
"""Answers to all probes in turn."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@contextmanager
def served(tmp_path: Path, name: str, *answers: Answer, **changes: Any) -> Iterator[tuple[AnsweringServer, list[str]]]:
    """A server, and how to call the command for a backend that is there."""
    with answering(*answers) as server:
        given = written()
        auth = {"kind": "sigv4", "service": "lambda", "region": "eu-central-1"}
        given["backends"]["elsewhere"] |= {"place": "account", "auth": auth}
        given["backends"][name] |= {"url": server.url, **changes}
        file = tmp_path / "router.json"
        file.write_text(json.dumps(given))
        yield server, ["verify", "--backend", name, "--config", str(file)]


def outcomes(out: str) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["outcome"], each["sentence"]) for each in json.loads(out)["probes"]}


def test_a_right_one(tmp_path: Path, run: Run) -> None:
    """As a table, as JSON and as a block for the documents, in which its address is not."""
    with served(tmp_path, "elsewhere", *RIGHT) as (server, command):
        told = run(*command)
        assert told.status == 0, told.out
        assert [line.split()[:2] for line in told.out.splitlines()[1:-1] if not line.startswith(" ")] == [
            [probe.name, "ok"] for probe in probes.PROBES
        ]
        assert told.out.endswith("5 ok, 0 wrong, 0 can't be known here.\n")
        assert [each.json["max_tokens"] for each in server.asked] == [40, 40, 40, 40, 1, 40]
        signed = ["authorization" in each.headers for each in server.asked]
        assert signed == [True] * 5 + [False]
    with served(tmp_path, "elsewhere", *RIGHT) as (server, command):
        told = run(*command, "--json")
        said = json.loads(told.out)
        assert (said["url"], said["model"], said["region"], said["ok"]) == ("backend:elsewhere", "large", None, 5)
        assert said["probes"][1]["figures"] == {"pieces": 3}
        assert said["probes"][2]["figures"] == {
            "piece_input": 9, "piece_output": 1, "stream_input": 9, "stream_output": 1,
        }  # fmt: skip
    with served(tmp_path, "elsewhere", *RIGHT) as (server, command):
        told = run(*command, "--markdown")
        assert "| `strangers` | ok | Without credentials it refuses. |" in told.out
        assert server.url not in told.out


def test_a_component_of_sagemaker_that_sleeps_is_waited_for(tmp_path: Path, run: Run) -> None:
    """Each request until it is awake is refused with a time after which to ask again."""
    zero = Answer([ZERO], 400, {**JSON, "x-amzn-errortype": "ValidationError"})
    stream = Answer([event("PayloadPart", piece) for piece in [*EVENTS, DONE]], headers=EVENT_STREAM)
    with served(tmp_path, "gpu", zero, zero, ONE, stream, ONE, stream, ONE, REFUSED) as (server, command):
        told = run(*command, "--json")
    assert told.status == 0, told.out
    awake = json.loads(told.out)["probes"][0]
    assert awake["sentence"] == "It slept: 2 requests failed (waking) until it answered."
    assert (awake["figures"]["failed"], awake["figures"]["retry_after_seconds"]) == (2, 300.0)
    assert all(each.path.startswith("/endpoints/gpu/invocations") for each in server.asked)


def test_a_load_balancer_without_a_target_and_a_function_without_an_instance(tmp_path: Path, run: Run) -> None:
    unhealthy = Answer([b"<html>503 Service Temporarily Unavailable</html>"], 503, {"content-type": "text/html"})
    with served(tmp_path, "elsewhere", unhealthy, *RIGHT) as (_, command):
        told = run(*command, "--json")
    assert outcomes(told.out)["awake"] == ("ok", "It slept: 1 requests failed (unavailable) until it answered.")
    prelude = b'{"statusCode": 200, "headers": {"content-type": "application/json"}}' + bytes(8)
    streamed = b'{"statusCode": 200, "headers": {"content-type": "text/event-stream"}}' + bytes(8)
    complete = event("InvokeComplete", {})

    def payload(*pieces: bytes) -> Answer:
        return Answer([*(event("PayloadChunk", piece) for piece in pieces), complete], headers=EVENT_STREAM)

    throttled = Answer([b"{}"], 429, {**JSON, "x-amzn-errortype": "TooManyRequestsException"})
    one, stream = payload(prelude + WHOLE), payload(streamed, *EVENTS, DONE)
    with served(tmp_path, "small", throttled, one, stream, one, stream, one, REFUSED) as (_, command):
        told = run(*command, "--json")
    assert outcomes(told.out)["awake"] == ("ok", "It slept: 1 requests failed (throttled) until it answered.")
    assert json.loads(told.out)["ok"] == 5


def test_one_that_does_not_wake_is_wrong_and_asked_nothing_else(tmp_path: Path, run: Run) -> None:
    gone = Answer([b"{}"], 503, JSON)
    with served(tmp_path, "elsewhere", gone) as (server, command):
        told = run(*command, "--json", "--wait-seconds", "0")
    assert told.status == 1
    found = outcomes(told.out)
    assert found["awake"][0] == "wrong"
    assert "did not answer within 0 s" in found["awake"][1]
    assert {outcome for outcome, _ in list(found.values())[1:]} == {"unknown"}
    assert len(server.asked) == 1


def test_one_that_refuses_is_not_waited_for(tmp_path: Path, run: Run) -> None:
    with served(tmp_path, "elsewhere", REFUSED) as (server, command):
        told = run(*command, "--json")
    assert (told.status, len(server.asked)) == (1, 1)
    assert "status 403" in outcomes(told.out)["awake"][1]


@pytest.mark.parametrize(
    ("place", "instead", "probe", "outcome", "said"),
    [
        (1, Answer([EVENTS[0], DONE], headers=SSE), "streaming", "wrong", "came in one piece"),
        (
            2,
            Answer([b'{"choices": []}'], headers=JSON),
            "usage",
            "wrong",
            "tokens an answer in one piece took",
        ),
        (3, Answer([*EVENTS[:3], DONE], headers=SSE), "usage", "wrong", "how many tokens a stream took"),
        (4, Answer([WHOLE.replace(b'ns": 1', b'ns": 30')], headers=JSON), "limit", "wrong", "It wrote 30 tokens"),
        (4, Answer([b'{"choices": []}'], headers=JSON), "limit", "unknown", "does not say"),
        (4, Answer([b"{}"], 500, JSON), "limit", "wrong", "status 500"),
        (5, ONE, "strangers", "wrong", "answers without credentials"),
        (5, Answer([b"{}"], 500, JSON), "strangers", "unknown", "failed otherwise"),
    ],
)
def test_what_is_wrong_is_found(
    tmp_path: Path, run: Run, place: int, instead: Answer, probe: str, outcome: str, said: str
) -> None:
    answers = [*RIGHT[:place], instead, *RIGHT[place + 1 :]]
    with served(tmp_path, "elsewhere", *answers) as (_, command):
        told = run(*command, "--json")
    found = outcomes(told.out)
    assert found[probe][0] == outcome
    assert said in found[probe][1]
    assert told.status == (outcome == "wrong")
    assert {name for name, (each, _) in found.items() if each != "ok"} == {probe}


def test_an_encoder_and_a_server_without_authorization(tmp_path: Path, run: Run) -> None:
    """What can't be asked of them is no fault."""
    answer = Answer([b'{"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 1}}'], headers=JSON)
    changes = {"operations": ["/v1/embeddings"], "auth": {"kind": "none"}}
    with served(tmp_path, "elsewhere", answer, **changes) as (server, command):
        told = run(*command, "--json")
    assert told.status == 0
    assert {name: outcome for name, (outcome, _) in outcomes(told.out).items()} == {
        "awake": "ok", "streaming": "unknown", "usage": "ok", "limit": "unknown", "strangers": "unknown",
    }  # fmt: skip
    assert {each.path for each in server.asked} == {"/v1/embeddings"}


def test_a_backend_that_answers_in_one_piece_alone(tmp_path: Path, run: Run) -> None:
    """As Converse answers responses: nothing is wrong with it."""
    converse = {
        "output": {"message": {"role": "assistant", "content": [{"text": "One"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10},
    }
    one = Answer([json.dumps(converse).encode()], headers=JSON)
    with served(tmp_path, "bedrock", one, one, one, REFUSED, operations=["/v1/responses"]) as (server, command):
        told = run(*command, "--json")
    assert {name: outcome for name, (outcome, _) in outcomes(told.out).items()} == {
        "awake": "ok", "streaming": "unknown", "usage": "ok", "limit": "ok", "strangers": "ok",
    }  # fmt: skip
    assert (told.status, len(server.asked)) == (0, 4)


def test_who_calls_it_wrongly_is_told(tmp_path: Path, run: Run) -> None:
    with served(tmp_path, "elsewhere", ONE) as (server, command):
        told = run(*command[:2], "none", *command[3:])
        assert f"no backend 'none': use one of {', '.join(written()['backends'])}." in told.err.replace("\n", " ")
        for wrong in (
            command[:3],
            ["verify", *command[3:]],
            [*command, "https://example.com"],
            [*command, "--region", "eu-central-1"],
            [*command, "--function", "chat"],
        ):
            told = run(*wrong)
            assert told.status == 2
            assert "give a URL, or --backend and --config" in " ".join(told.err.replace("│", " ").split())
        assert run(*command[:4], str(tmp_path / "none")).status == 1
    assert server.asked == []
