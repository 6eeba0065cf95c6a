"""What `/health` says of the function's environment."""

import httpx2
import pytest

from lambda_llm.engine.engine import Engine
from lambda_llm.inference.lambda_environment import LambdaEnvironment
from support.chat import made

VARIABLES = {
    "AWS_LAMBDA_FUNCTION_NAME": "llm",
    "AWS_LAMBDA_FUNCTION_VERSION": "7",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240",
}


def test_outside_lambda_there_is_none() -> None:
    assert LambdaEnvironment.of({"AWS_REGION": "eu-central-1"}) is None


@pytest.mark.parametrize("left_out", [None, *list(VARIABLES)[1:]])
def test_it_tells_what_the_host_does(left_out: str | None) -> None:
    environment = LambdaEnvironment.of({name: value for name, value in VARIABLES.items() if name != left_out})
    assert environment
    said = environment.describe()
    told = {
        "AWS_LAMBDA_FUNCTION_VERSION": (said.version, "7"),
        "AWS_LAMBDA_INITIALIZATION_TYPE": (said.initialization, "snap-start"),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": (said.memory_mb, 10240),
    }
    assert said.function == "llm"
    for name, (found, right) in told.items():
        assert found == (None if name == left_out else right)


def test_every_restore_is_another_environment_which_is_as_old_as_that() -> None:
    environment = LambdaEnvironment.of(VARIABLES)
    assert environment
    begun = environment.describe()
    assert not begun.restored
    environment.before_snapshot()
    assert environment.describe().id == begun.id
    environment.after_restore()
    restored = environment.describe()
    assert restored.restored
    assert restored.id != begun.id
    older = environment.describe()
    assert (older.id, older.age_seconds >= restored.age_seconds) == (restored.id, True)


async def test_health_has_it(engine: Engine) -> None:
    environment = LambdaEnvironment.of(VARIABLES)
    assert environment
    app = made(engine, checksums=["CRC64NVME"], environment=environment.describe)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
            health = (await client.get("/health")).json()
    assert health["checksums"] == ["CRC64NVME"]
    age = health["environment"].pop("age_seconds")
    assert age >= 0
    assert health["environment"] == {
        "id": environment.describe().id,
        "function": "llm",
        "version": "7",
        "initialization": "snap-start",
        "memory_mb": 10240,
        "restored": False,
    }
