"""The AWS prices that this project calculates with; no other module has any.

In US dollars, for us-east-1, without free tier, discounts and tax. Each has its source, checked on `READ_ON`.
"""

from typing import Final

from lambda_llm.limits import MEMORY_MB

REGION: Final = "us-east-1"

READ_ON: Final = "2026-11-20"
"""Date on which the sources were checked."""

ARM64_GB_SECOND: Final = 0.0000133334
"""Per GB of configured memory and second of an arm64 function's duration, for the first 7.5 billion GB-seconds a month.
Source: https://aws.amazon.com/lambda/pricing/"""

REQUEST: Final = 0.20 / 1_000_000
"""Per request. Source: as above."""

SNAPSTART_CACHE_GB_SECOND: Final = 0.0000015046
"""Per GB of configured memory and second that a published version with SnapStart exists, for at least three hours.
Source: as above, section SnapStart"""

SNAPSTART_RESTORE_GB: Final = 0.0001397998
"""Per GB of configured memory that is restored. Source: as above"""

DURABLE_OPERATION: Final = 8.00 / 1_000_000
"""Per operation of a durable execution: a start, step, wait, callback, invocation or context.
Source: https://aws.amazon.com/lambda/pricing/, section Lambda Durable Functions"""

DURABLE_WRITTEN_GB: Final = 0.25
"""Per GB that a durable execution writes. Source: as above"""

DURABLE_RETAINED_GB_MONTH: Final = 0.15
"""Per GB and month of an execution's history, while it lasts and for the retention period after. Source: as above"""

KMS_KEY_MONTH: Final = 1.00
"""Per KMS key and month. Source: https://aws.amazon.com/kms/pricing/"""

GB: Final = MEMORY_MB / 1024
"""Configured memory in GB, the unit of the prices above."""

DAY_SECONDS: Final = 24 * 60 * 60


def live_version(days: float) -> float:
    """What one published version costs while it exists, invoked or not, in US dollars.

    Args:
        days: how long it exists.
    """
    return SNAPSTART_CACHE_GB_SECOND * GB * days * DAY_SECONDS


def restore() -> float:
    """What restoring one environment from the snapshot costs, in US dollars."""
    return SNAPSTART_RESTORE_GB * GB


def busy(seconds: float, memory_mb: int = MEMORY_MB) -> float:
    """What an environment costs while it processes requests, in US dollars.

    Args:
        seconds: billed duration.
        memory_mb: configured memory; an inference function's unless given.
    """
    return ARM64_GB_SECOND * (memory_mb / 1024) * seconds


def durable(operations: int, written: int) -> float:
    """What a durable execution costs beside the time of its functions, in US dollars.

    Args:
        operations: of it.
        written: bytes of inputs, results, payloads and errors.
    """
    return DURABLE_OPERATION * operations + DURABLE_WRITTEN_GB * written / 1e9
