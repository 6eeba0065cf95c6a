"""Two environments that were restored from one snapshot have nothing in common but what they know."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lambda_llm.web.adapter import AFTER_PATH, BEFORE_PATH
from support import twins
from support.answers import user
from support.chat import PATH
from support.endless import NAME
from support.runtime_api import RuntimeAPI
from support.servers import AFTER, BEFORE, LIMIT_SECONDS, free_port, listening, until

Ask = Callable[..., dict[str, Any]]
"""Posts a chat request to one twin and gives the answer's JSON."""


@contextmanager
def restored(folder: Path, model: Path, environment: dict[str, str], arguments: list[str]) -> Iterator[None]:
    """The process and its twins."""
    log = folder / "twins.log"
    given = {**os.environ, "LAMBDA_LLM_MODEL": str(model), "LAMBDA_LLM_THREADS": "1", **environment}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, twins.__file__, *arguments], env=given, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield
        except BaseException:
            sys.stderr.write(log.read_text())
            raise
        finally:
            process.send_signal(signal.SIGKILL)  # its twins end with it


def asked(**changes: Any) -> dict[str, Any]:
    return {"model": NAME, "messages": [user("Hello")], "max_tokens": 12, "temperature": 1} | changes


@contextmanager
def behind_the_web_adapter(folder: Path, model: Path) -> Iterator[list[Ask]]:
    ports = [free_port(), free_port()]
    environment = {BEFORE_PATH: BEFORE, AFTER_PATH: AFTER}

    def asker(port: int) -> Ask:
        def ask(**changes: Any) -> dict[str, Any]:
            url = f"http://127.0.0.1:{port}{PATH}"
            answer: dict[str, Any] = httpx2.post(url, json=asked(**changes), timeout=LIMIT_SECONDS).json()
            return answer

        return ask

    with restored(folder, model, environment, ["adapter", BEFORE, *map(str, ports)]):
        for port in ports:
            until(partial(listening, port))
            assert httpx2.post(f"http://127.0.0.1:{port}{AFTER}", timeout=LIMIT_SECONDS).status_code == 204
        yield [asker(port) for port in ports]


@contextmanager
def under_the_runtime_client(folder: Path, model: Path) -> Iterator[list[Ask]]:
    with ExitStack() as running:
        apis = [running.enter_context(RuntimeAPI()) for _ in range(2)]
        environment = {
            "AWS_LAMBDA_RUNTIME_API": apis[0].address,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_LAMBDA_FUNCTION_NAME": "llm",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240",
        }
        with restored(folder, model, environment, ["runtime", *(api.address for api in apis)]):
            for api in apis:
                assert api.asked_for_events.wait(LIMIT_SECONDS)
            yield [lambda api=api, **changes: api.invoke(asked(**changes)).body for api in apis]


@pytest.fixture(scope="module", params=[behind_the_web_adapter, under_the_runtime_client])
def pair(
    request: pytest.FixtureRequest, endless_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Ask]]:
    with request.param(tmp_path_factory.mktemp("twins"), endless_model) as askers:
        yield askers


def texts(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["choices"][0]["message"]["content"] for answer in answers]


def test_without_a_seed_twins_give_different_answers_under_different_ids(pair: list[Ask]) -> None:
    first, second = answers = [ask() for ask in pair]
    assert first["id"] != second["id"]
    one, other = texts(answers)
    assert one != other


def test_with_a_seed_twins_give_the_same_answer_under_different_ids(pair: list[Ask]) -> None:
    first, second = answers = [ask(seed=7) for ask in pair]
    assert first["id"] != second["id"]
    one, other = texts(answers)
    assert one == other != ""


def test_twins_begin_alike() -> None:
    # In one piece, so that the twins' lines don't mingle.
    program = "import random; from support.twins import split; split('ab'); print(f'{random.random()}\\n', end='')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == second, "a fork that seeds generators anew would prove nothing"
