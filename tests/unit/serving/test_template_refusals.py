"""What a model's template refuses reaches the client."""

from pathlib import Path

import httpx2
import pytest

from support.answers import OpenEngine
from support.chat import PATH, body, made
from support.rewrite import rewrite


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "This model has no chat template: use a chat or instruct model."),
        ("{{ raise_exception('No system role') }}", "The model's chat template refuses these messages: No system role"),
    ],
)
async def test_messages_that_the_template_refuses_are_the_client_s_error(
    open_engine: OpenEngine, demo_model: Path, tmp_path: Path, template: str | None, says: str
) -> None:
    changes = {"tokenizer.chat_template": template}
    app = made(open_engine(rewrite(demo_model, tmp_path / "m.gguf", changes)))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://server") as client,
    ):
        response = await client.post(PATH, json=body())
    assert response.status_code == 400
    assert response.json()["error"] == {
        "message": says,
        "type": "invalid_request_error",
        "param": "messages",
        "code": "invalid_messages",
    }
