"""docs/http.md names every path, and its numbers are the code's."""

import re
from pathlib import Path

from lambda_llm.engine.engine import Engine
from lambda_llm.engine.sampling import GREEDY_BELOW
from lambda_llm.limits import MIB
from lambda_llm.openai_types.common import STOP_TEXTS_MAX
from lambda_llm.serving.encoders import INPUTS_MAX
from lambda_llm.serving.service import ServingOptions
from lambda_llm.serving.tokens import TOKENS_MAX
from lambda_llm.web.connections import READ_SECONDS, REQUEST_SECONDS
from lambda_llm.web.request_body import BODY_BYTES_MAX, BODY_SECONDS
from support.chat import made

TEXT = (Path(__file__).parents[2] / "docs/http.md").read_text(encoding="utf-8")


def test_every_path_is_named_and_no_other_one(engine: Engine) -> None:
    table = TEXT.partition("\n## ")[0]
    named = set(re.findall(r"`(?:(?:GET|POST) )?(/[\w/{}]+)`", table))
    aliases = {"/rerank", "/reranking", "/v2/rerank", "/v1"}
    assert named - aliases == set(made(engine).openapi()["paths"])


def test_the_numbers_are_the_code_s() -> None:
    for said in (
        f"`stop` takes up to {STOP_TEXTS_MAX} texts",
        f"temperatures below {GREEDY_BELOW:f}:",
        f"{BODY_BYTES_MAX // MIB} MB, within {BODY_SECONDS:g} s",
        f"{REQUEST_SECONDS:g} s from the first byte",
        f"A response that nobody reads | {READ_SECONDS:g} s",
        f"{ServingOptions('').response_bytes // MIB} MB otherwise",
        f"| {TOKENS_MAX:,} |",
        f"| {INPUTS_MAX:,} |",
    ):
        assert said in TEXT, said
