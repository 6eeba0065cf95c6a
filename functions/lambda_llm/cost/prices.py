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


def busy(seconds: float) -> float:
    """What an environment costs while it processes requests, in US dollars.

    Args:
        seconds: billed duration.
    """
    return ARM64_GB_SECOND * GB * seconds
