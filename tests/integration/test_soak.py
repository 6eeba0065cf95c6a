"""A minute of random requests; an hour of them is `make long`."""

from scripts.soak import soak

SECONDS = 60


def test_the_server_answers_whatever_comes_and_does_not_grow() -> None:
    outcome = soak(SECONDS, seed=12)
    assert outcome.failures == []
    assert outcome.grown() == []
    assert outcome.statuses.keys() >= {200, 400, 404, 415}
    assert outcome.statuses.total() > 150
