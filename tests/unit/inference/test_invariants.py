"""The runtime's own look at its configuration."""

import pytest

from lambda_llm.inference.errors import InvariantError
from lambda_llm.inference.invariants import check_invariants

NAME = {"AWS_LAMBDA_FUNCTION_NAME": "llm"}
MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
INITIALIZATION = "AWS_LAMBDA_INITIALIZATION_TYPE"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {MEMORY: "128", INITIALIZATION: "on-demand"},
        NAME,
        NAME | {MEMORY: "10240"},
        NAME | {INITIALIZATION: "snap-start"},
        NAME | {MEMORY: "10240", INITIALIZATION: "snap-start"},
    ],
    ids=["a laptop", "no function", "a stand-in", "memory", "SnapStart", "Lambda"],
)
def test_what_is_right_or_not_to_be_seen_passes(environment: dict[str, str]) -> None:
    check_invariants(environment)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({MEMORY: "3008"}, "memory is 3008 MB instead of 10240"),
        ({MEMORY: "10241"}, "memory is 10241 MB instead of 10240"),
        ({INITIALIZATION: "on-demand"}, "initialized as 'on-demand' instead of 'snap-start'"),
        ({INITIALIZATION: "provisioned-concurrency"}, "through the alias only"),
    ],
)
def test_what_is_wrong_is_refused_by_name_with_what_to_do(wrong: dict[str, str], says: str) -> None:
    right = {MEMORY: "10240", INITIALIZATION: "snap-start"}
    with pytest.raises(InvariantError) as refused:
        check_invariants(NAME | right | wrong)
    assert says in str(refused.value)
    assert "Terraform module `inference`" in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvariantError, match=r"memory is 128 MB .*; it was initialized as 'on-demand'"):
        check_invariants(NAME | {MEMORY: "128", INITIALIZATION: "on-demand"})
