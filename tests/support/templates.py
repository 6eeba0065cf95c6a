"""Chat templates of real models, those in llama-cpp-python's source package, on the demo model."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from lambda_llm.engine.chat_template import ChatTemplate
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.gguf.options import Weights
from scripts.build.llama import SOURCE

_FOLDER = SOURCE / "vendor/llama.cpp/models/templates"
NAMES = sorted(path.stem for path in _FOLDER.glob("*.jinja"))
LLAMA_3, QWEN_3, QWQ = "meta-llama-Llama-3.2-3B-Instruct", "Qwen-Qwen3-0.6B", "Qwen-QwQ-32B"
R1_LLAMA, R1_QWEN = "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"
GEMMA_2, SMOLLM_3 = "google-gemma-2-2b-it", "HuggingFaceTB-SmolLM3-3B"
HERMES_TOOL_USE = "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use"
BOS, EOS = "<bos>", "<eos>"

Templates = Callable[[str], ChatTemplate]
"""Takes the name of a template."""


def source(name: str) -> str:
    """A template's Jinja."""
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


class WithTemplate(LoadedModel):
    """The demo model with other chat templates."""

    template = tools = ""
    bos, eos = BOS, EOS

    @property
    def chat_template(self) -> str:
        return self.template

    @property
    def tool_template(self) -> str:
        return self.tools

    def given(self, template: str, tools: str = "") -> ChatTemplate:
        """These templates, probed."""
        self.template, self.tools = template, tools
        return ChatTemplate(self)


@pytest.fixture(scope="module")
def templated(demo_model: Path) -> Iterator[WithTemplate]:
    with WithTemplate(str(demo_model), Weights.COPIED) as model:
        yield model


@pytest.fixture(scope="module")
def template(templated: WithTemplate) -> Templates:
    return cache(lambda name: templated.given(source(name)))
