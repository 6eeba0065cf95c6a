"""The application's own OpenAPI document is true: what it promises is what it answers, whatever is sent."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import given, settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from scripts.demo import MODEL
from scripts.models.opening import ONE_THREAD, open_engine
from support.chat import PATH, made

EXAMPLES = 30
"""Requests for each operation."""


@pytest.fixture
def app() -> Iterator[FastAPI]:
    """One for each test: schemathesis ends the application's lifespan with the test that started it."""
    with open_engine(MODEL, replace(ONE_THREAD, context_length=256)) as engine:
        yield made(engine)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_that_the_document_promises(app: FastAPI, mode: GenerationMode) -> None:
    """For requests that the document allows, and for those that it does not."""
    tried = []
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # nothing to get wrong

        @settings(max_examples=EXAMPLES)
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers(case: schemathesis.Case[Any]) -> None:
            # A schema doesn't tell the length of the context, nor which messages belong together.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        answers()
        tried.append(operation.path)
    assert PATH in tried
