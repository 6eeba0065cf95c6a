"""Dollars and hours of each way, by hand; and which one is chosen."""

from dataclasses import replace
from typing import Any

import pytest

from lambda_llm.backends.contract import Operation
from lambda_llm.batch.config import BedrockBackend, GPUBackend, LambdaBackend, Model, parse
from lambda_llm.batch.errors import BatchConfigurationError
from lambda_llm.batch.estimate import JOB_OUTPUT_TOKENS, Totals, Wish, chosen, fits, options, parts_for, workers
from lambda_llm.batch.plan import Part, fitting, records_of_unit
from lambda_llm.limits import BATCH_ARRAY_SIZE, BEDROCK_JOB_BYTES, BEDROCK_JOB_RECORDS
from support.batches import configuration, function

MILLION = Totals(1_000_000, 1_500_000_000, 300_000_000, 100_000_000)
DAY = Wish(24 * 3600)
BEDROCK = {
    "kind": "bedrock",
    "model": "amazon.nova-micro-v1:0",
    "region": "us-east-1",
    "role": "arn:aws:iam::123456789012:role/bedrock",
    "input": 0.0175,
    "output": 0.07,
}
GPU = {
    "kind": "gpu",
    "queue": "arn:aws:batch:us-east-1:123456789012:job-queue/spot",
    "definition": "arn:aws:batch:us-east-1:123456789012:job-definition/vllm:1",
    "model": "llama",
    "hourly": 0.8,
    "prefill": 20_000,
    "decode": 4_000,
    "instances": 4,
    "start_seconds": 360,
}


def model(**backends: dict[str, Any]) -> Model:
    return configuration(**backends).models["chat"]


def test_a_million_requests_on_each() -> None:
    """300 tokens in, 100 out; 13 s each at 100 and 10 tokens a second."""
    ways = model(ours=function(concurrency=500), nova=BEDROCK, gpu=GPU)
    found = {option.backend: option for option in options(ways, Operation.CHAT, MILLION, DAY)}
    # 3,000,000 + 10,000,000 s of 10 GB at $0.0000133334, and a quarter of that time of half a GB for the workers.
    busy = 13_000_000 * 10 * 0.0000133334 + 13_000_000 / 4 * 0.5 * 0.0000133334
    # Requests, restores of 10 GB, and four transitions for each of 10,000 parts.
    besides = 1_010_000 * 0.0000002 + 500 * 10 * 0.0001397998 + 4 * 10_000 * 0.000025
    assert found["ours"].dollars == pytest.approx(busy + besides, abs=0.005)
    assert found["ours"].hours == pytest.approx(13_000_000 / 500 / 3600)
    assert found["nova"].dollars == pytest.approx(300 * 0.0175 + 100 * 0.07)
    assert found["nova"].hours == 24
    # 15,000 + 25,000 s of instances in parts of half an hour, each of which starts a server for 6 minutes.
    assert found["gpu"].dollars == pytest.approx((40_000 + 23 * 360) / 3600 * 0.8)
    assert found["gpu"].hours == pytest.approx(6 * (40_000 / 23 + 360) / 3600)


def test_the_cheapest_that_keeps_the_window_is_chosen() -> None:
    ways = model(ours=function(concurrency=500), nova=BEDROCK, gpu=GPU)
    best = chosen(options(ways, Operation.CHAT, MILLION, DAY))
    assert best is not None
    assert best.backend == "gpu"
    more = model(ours=function(concurrency=2000), nova=BEDROCK, gpu=GPU)
    hurry = chosen(options(more, Operation.CHAT, MILLION, Wish(2 * 3600)))
    assert hurry is not None
    assert hurry.backend == "ours"
    assert chosen(options(more, Operation.CHAT, MILLION, Wish(3600))) is None


def why(wish: Wish, operation: Operation = Operation.CHAT, totals: Totals = MILLION) -> dict[str, str | None]:
    ways = model(ours=function(concurrency=500), nova=BEDROCK, gpu=GPU)
    return {option.backend: option.why_not for option in options(ways, operation, totals, wish)}


def test_why_one_can_not_be_chosen() -> None:
    near = why(replace(DAY, place="lambda"))
    assert near["ours"] is None
    assert near["gpu"] == near["nova"] == "is outside of lambda, where the tenant's data has to stay"
    cheap = why(replace(DAY, max_dollars=12.26))
    assert cheap["ours"] is not None
    assert cheap["ours"].startswith("costs up to $1,")
    assert cheap["nova"] is None
    assert why(Wish(3600))["nova"] == "takes up to 24.0 h, and the window has 1.0 h left"
    assert why(DAY, Operation.EMBEDDINGS)["nova"] == "does not have /v1/embeddings"
    assert why(DAY, totals=replace(MILLION, records=99))["nova"] == "takes jobs of 100 records or more"
    named = why(Wish(3600, backend="nova"))
    assert named["nova"] is None  # whoever names one has it, even if it may be late
    assert named["gpu"] == "is not nova, which was asked for"


def test_jobs_of_bedrock_wait_for_each_other() -> None:
    nova = model(nova=BEDROCK)
    three = Totals(3 * 20 * 50_000, 1, 1, 1)
    (option,) = options(nova, Operation.CHAT, three, Wish(24 * 3600))
    assert option.hours == 3 * 24
    assert option.why_not == "takes up to 72.0 h, and the window has 24.0 h left"


def test_parts_fit_what_answers_them() -> None:
    ways = model(ours=function(concurrency=500), nova=BEDROCK, gpu=GPU).backends
    ours, nova, gpu = ways["ours"], ways["nova"], ways["gpu"]
    assert isinstance(ours, LambdaBackend)
    assert isinstance(nova, BedrockBackend)
    assert isinstance(gpu, GPUBackend)
    assert workers(ours) == 125
    assert parts_for(ours, MILLION) == BATCH_ARRAY_SIZE  # 13,000,000 s / 4 at once / 240 s
    assert parts_for(ours, Totals(2000, 1, 6000, 2000)) == 500  # four for each worker
    assert parts_for(ours, Totals(3, 1, 6, 2)) == 3
    assert parts_for(nova, MILLION) == 20
    assert parts_for(gpu, MILLION) == 23
    assert parts_for(gpu, Totals(1, 1, 6, 2)) == 1


def test_a_function_of_which_a_worker_takes_all() -> None:
    ours = model(ours=function(concurrency=2, parallel=8)).backends["ours"]
    assert isinstance(ours, LambdaBackend)
    assert workers(ours) == 1


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"{", "JSON"),
        (b"{}", "version"),
        (b'{"version": 2}', "version"),
        (b'{"version": 1, "machine": "x", "models": {}}', "machine"),
    ],
)
def test_a_configuration_that_is_none(content: bytes, place: str) -> None:
    with pytest.raises(BatchConfigurationError, match=f"can't be used \\(.*{place}"):
        parse(content)


def test_backends_must_be_told_apart() -> None:
    with pytest.raises(BatchConfigurationError, match="differ by case alone"):
        configuration(ours=function(), OURS=function())


def test_no_part_is_too_large_for_a_job_of_bedrock() -> None:
    """A part is made of whole units, which do not end where a job's last record would be."""
    nova = BedrockBackend(
        kind="bedrock",
        model="m",
        region="us-east-1",
        role="arn:aws:iam::123456789012:role/bedrock",
        input=1.0,
        output=1.0,
    )

    def parts(records: int, line_bytes: int, answer: int) -> list[Part]:
        size = records_of_unit(records * line_bytes, line_bytes)
        units = [
            Part(
                part=number,
                first=first * line_bytes,
                last=min(first + size, records) * line_bytes - 1,
                record=first,
                records=min(size, records - first),
                output_tokens=min(size, records - first) * answer,
            )
            for number, first in enumerate(range(0, records, size))
        ]
        count = parts_for(nova, Totals(records, records * line_bytes, 0, records * answer))
        found = fitting(units, records, count, lambda _: None, lambda part: fits(nova, part))
        assert sum(part.records for part in found) == records
        return found

    for found in (
        parts(100_000, 200, 100),
        parts(99_990, 200, 100),
        parts(50_000, 100_000, 10),
        parts(50_000, 9, 4000),
    ):
        assert max(part.records for part in found) <= BEDROCK_JOB_RECORDS
        assert max(part.last - part.first for part in found) < BEDROCK_JOB_BYTES
        assert max(part.output_tokens for part in found) <= JOB_OUTPUT_TOKENS
        assert min(part.records for part in found) >= nova.records
