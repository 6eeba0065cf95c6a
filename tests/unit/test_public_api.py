"""The public surface: what is exported, where it comes from, and the page about it."""

import subprocess
import sys

import pytest

import lambda_llm
from lambda_llm import client
from scripts.docs import api

NAMES = [name for name in lambda_llm.__all__ if not name.startswith("_")]


def test_what_is_exported_is_sorted_and_there() -> None:
    assert lambda_llm.__all__ == sorted(lambda_llm.__all__)
    assert dir(lambda_llm) == lambda_llm.__all__
    for name in NAMES:
        thing = getattr(lambda_llm, name)
        assert thing.__name__ == name
        assert thing.__doc__


def test_nothing_else_is_exported() -> None:
    with pytest.raises(AttributeError, match="module 'lambda_llm' has no attribute 'Engine'"):
        lambda_llm.Engine  # noqa: B018 - a name that is not there


def test_the_documented_module_for_callers_gives_the_same_things() -> None:
    assert set(client.__all__) == set(NAMES) - {"LambdaLLMError"}
    for name in client.__all__:
        assert getattr(client, name) is getattr(lambda_llm, name)


def test_importing_the_package_imports_none_of_it() -> None:
    program = "import sys, lambda_llm; print([name for name in sys.modules if name.startswith('lambda_llm.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_is_made_from_the_docstrings() -> None:
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "run python -m scripts.docs.api"
