"""`lambda-llm bench` as a person calls it."""

import json
from typing import Any

import httpx2
import pytest

from lambda_llm.cost.measured import SCHEMA, Measured
from support.command_line import Run
from support.fake_deployment import Deploy
from support.function_url import REGION
from support.servers import Server

FEW = ("--repeats", 2, "--prompt-tokens", 64)


def test_a_real_server_is_measured(demo_server: Server, run: Run) -> None:
    told = run("bench", demo_server.url, *FEW, "--prompt-tokens", 256, "--answer-tokens", 24, "--json")
    assert (told.status, told.err) == (0, "")
    measured = Measured.read(json.loads(told.out))
    assert (measured.model, measured.url_kind, measured.region) == ("lambda-llm-demo", "server", None)
    assert (measured.clock, measured.memory_mb, measured.threads) == ("server", None, 1)
    assert measured.failures == ()
    short, long = measured.prompts
    assert short.prompt_tokens < long.prompt_tokens
    assert long.prompt_tokens == pytest.approx(256, rel=0.5)
    for prompt in measured.prompts:
        assert prompt.prefill_tokens_per_second.n == prompt.first_token_seconds.n == 2
        assert prompt.cached_to_new
        assert prompt.cached_to_new.n == 2, "each next turn found its prompt, and no prompt was found before"
    assert measured.decode_tokens_per_second
    assert measured.decode_tokens_per_second.n == 4


def test_a_function_is_measured_with_its_memory_and_its_costs_are_told(deploy: Deploy, run: Run) -> None:
    with deploy(token_seconds=0.001) as stage:
        told = run("bench", stage.deployment.url, "--region", REGION, *FEW, "--json")
    assert told.status == 0
    assert told.err.startswith("Sends 5 requests, one after another; answering costs $0.0080 a minute")
    assert stage.fake.requests.count("chat") == 5
    said = json.loads(told.out)
    assert (said["schema"], said["url_kind"], said["region"], said["memory_mb"]) == (
        SCHEMA,
        "custom_domain",
        REGION,
        10240,
    )


def test_the_table_names_what_was_measured(deploy: Deploy, run: Run) -> None:
    with deploy(signed=False, token_seconds=0.001) as stage:
        told = run("bench", stage.deployment.url, *FEW)
    assert told.status == 0
    for what in ("Decode", "Prefill of 63 tokens", "First token, new prefix of 63 tokens", "known prefix of 63 tokens"):
        assert what in told.out
    assert "Rates by the server's clock; demo, armv8.6_1." in told.out


def test_a_server_that_does_not_tell_its_times_is_measured_by_the_client_s(deploy: Deploy, run: Run) -> None:
    with deploy(signed=False, tells_timings=False, token_seconds=0.001) as stage:
        measured = Measured.read(json.loads(run("bench", stage.deployment.url, *FEW, "--json").out))
    assert measured.clock == "client"
    assert measured.decode_tokens_per_second


class Failing:
    """Refuses some of the chat requests, counted from 1; the first is the warm-up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
        self.chats = 0
        real = httpx2.Client.send

        def send(client: httpx2.Client, request: httpx2.Request, **given: Any) -> httpx2.Response:
            if request.url.path.endswith("/chat/completions"):
                self.chats += 1
                if self.chats in numbers:
                    return httpx2.Response(502, json={"error": {"message": "Bad gateway"}}, request=request)
            return real(client, request, **given)

        monkeypatch.setattr(httpx2.Client, "send", send)


def test_a_request_that_fails_is_counted_and_the_rest_is_measured(
    deploy: Deploy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, 2, 5)
    with deploy(signed=False, token_seconds=0.001) as stage:
        told = run("bench", stage.deployment.url, "--repeats", 3, "--prompt-tokens", 64)
    assert told.status == 0
    assert "2x left out: The server refused (502)" in told.err
    assert stage.fake.requests.count("chat") == 3, "no next turn is asked for a prompt that was not answered"


def test_it_gives_up_where_nothing_is_answered_any_more(
    deploy: Deploy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, *range(4, 99))
    with deploy(signed=False, token_seconds=0.001) as stage:
        told = run("bench", stage.deployment.url, "--repeats", 50, "--prompt-tokens", 64, "--json")
    assert told.status == 0
    assert failing.chats == 6
    assert len(Measured.read(json.loads(told.out)).failures) == 3


@pytest.mark.parametrize("first", [1, 2])
def test_where_nothing_was_answered_it_says_why(
    deploy: Deploy, run: Run, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    Failing(monkeypatch, *range(first, 99))
    with deploy(signed=False) as stage:
        told = run("bench", stage.deployment.url, *FEW)
    assert (told.status, told.out) == (1, "")
    assert "Nothing could be measured: The server refused (502)" in told.err


def test_a_next_turn_that_finds_nothing_is_left_out(deploy: Deploy, run: Run) -> None:
    with deploy(signed=False, caches=False, token_seconds=0.001) as stage:
        measured = Measured.read(json.loads(run("bench", stage.deployment.url, *FEW, "--json").out))
    (prompt,) = measured.prompts
    assert prompt.cached_first_token_seconds is None
    assert (
        measured.failures == ("The next turn did not find its prompt in the cache: another environment answered.",) * 2
    )


def test_answers_that_are_too_short_say_nothing_of_the_decode(deploy: Deploy, run: Run) -> None:
    with deploy(signed=False) as stage:
        told = run("bench", stage.deployment.url, *FEW, "--answer-tokens", 3)
    assert told.status == 0
    assert "not measured" in told.out
    assert "2x left out: An answer had 3 tokens, too few" in told.err


@pytest.mark.parametrize("lengths", [["4090"], ["64", "5000"]])
def test_a_prompt_beyond_the_context_is_refused(deploy: Deploy, run: Run, lengths: list[str]) -> None:
    with deploy(signed=False) as stage:
        told = run("bench", stage.deployment.url, *(part for each in lengths for part in ("--prompt-tokens", each)))
    assert told.status == 1
    assert "The context has 4,096 tokens: choose --prompt-tokens and --answer-tokens whose sum is 4,032" in told.err
