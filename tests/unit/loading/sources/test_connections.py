"""No wait is longer than what is left of the time budget."""

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.sources.connections import TIMEOUT_MIN, Connections

WHAT = "s3://models/tiny.gguf"


def test_a_short_wait_is_as_long_as_it_should_be() -> None:
    with Budget(60, WHAT) as budget:
        assert Connections(budget).timeout(1) == 1


def test_a_long_wait_ends_with_the_budget() -> None:
    with Budget(5, WHAT) as budget:
        assert 0 < Connections(budget).timeout(10) <= 5


def test_a_wait_after_the_end_is_the_shortest_that_a_socket_knows() -> None:
    with Budget(0.01, WHAT) as budget:
        assert budget.stopped.wait(10)
        assert Connections(budget).timeout(10) == TIMEOUT_MIN
