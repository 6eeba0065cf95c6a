"""AWS's prices that this project reckons with: the one home.

In US dollars, for us-east-1, without free tier, discounts and tax. Each has its source; all were read on `READ_ON`.
"""

from typing import Final

from lambda_llm.limits import MEMORY_MB

REGION: Final = "us-east-1"

READ_ON: Final = "2026-11-20"
"""Day on which the sources said so."""

ARM64_GB_SECOND: Final = 0.0000133334
"""A GB of configured memory for a second of an arm64 function's duration, its first 7.5 billion GB-seconds a month.
Source: https://aws.amazon.com/lambda/pricing/"""

REQUEST: Final = 0.20 / 1_000_000
"""One request. Source: as above."""

SNAPSTART_CACHE_GB_SECOND: Final = 0.0000015046
"""A GB of configured memory for a second that a published version with SnapStart exists, three hours at least.
Source: as above, section SnapStart"""

SNAPSTART_RESTORE_GB: Final = 0.0001397998
"""A GB of configured memory that is restored. Source: as above"""

KMS_KEY_MONTH: Final = 1.00
"""A KMS key for a month. Source: https://aws.amazon.com/kms/pricing/"""

GB: Final = MEMORY_MB / 1024
"""Configured memory in GB, by which all of these are charged."""

DAY_SECONDS: Final = 24 * 60 * 60


def live_version(days: float) -> float:
    """What one published version costs for as long as it exists, whether it is called or not.

    Args:
        days: how long.
    """
    return SNAPSTART_CACHE_GB_SECOND * GB * days * DAY_SECONDS


def restore() -> float:
    """What waking up one environment from the snapshot costs."""
    return SNAPSTART_RESTORE_GB * GB


def busy(seconds: float) -> float:
    """What an environment costs while it works on requests.

    Args:
        seconds: how long.
    """
    return ARM64_GB_SECOND * GB * seconds
