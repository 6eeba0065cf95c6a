"""Clients that only know a base URL and a key: LangChain and LiteLLM, each in a process of its own.

What they warn of is their business, so they don't run under this suite's warnings.
"""

import json
import os
import subprocess
import sys
from typing import Any

from support.answers import EXPECTED, QUESTION

LANGCHAIN = """
import json, sys
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

class Limit(BaseModel):
    "A limit."
    megabytes: int

url, question = sys.argv[1:]
model = ChatOpenAI(base_url=url, api_key="unused", model="lambda-llm-demo", temperature=0, max_retries=0)
whole = model.invoke(question)
streamed = "".join(chunk.content for chunk in model.stream(question))
structured = model.with_structured_output(Limit, method="json_schema").invoke(question)
called = model.bind_tools([Limit], tool_choice="Limit").invoke(question)
print(json.dumps({
    "whole": whole.content, "streamed": streamed, "structured": structured.megabytes,
    "tokens": whole.usage_metadata["total_tokens"], "call": called.tool_calls[0]["args"],
}))
"""

LITELLM = """
import json, sys
import litellm

url, question = sys.argv[1:]
given = dict(
    model="openai/lambda-llm demo", api_base=url, api_key="unused", temperature=0,
    messages=[{"role": "user", "content": question}],
)
whole = litellm.completion(**given)
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**given, stream=True))
try:
    litellm.completion(**given | {"model": "openai/no-such-model"})
    refused = None
except litellm.NotFoundError as error:
    refused = str(error)
print(json.dumps({
    "whole": whole.choices[0].message.content, "streamed": streamed, "tokens": whole.usage.total_tokens,
    "refused": refused,
}))
"""


def run(program: str, base_url: str) -> dict[str, Any]:
    # LiteLLM would download a list of prices otherwise.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        [sys.executable, "-c", program, base_url, QUESTION],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_langchain(base_url: str) -> None:
    said = run(LANGCHAIN, base_url)
    assert EXPECTED in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["tokens"] > 0
    assert isinstance(said["structured"], int)
    assert isinstance(said["call"]["megabytes"], int)


def test_litellm(base_url: str) -> None:
    said = run(LITELLM, base_url)
    assert EXPECTED in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["tokens"] > 0
    assert "does not exist here" in said["refused"]
