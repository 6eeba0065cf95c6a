"""What the function that runs this process costs, as Lambda's own variables describe it."""

import logging
import os
from functools import cache

from lambda_llm.cost.prices import PriceError, invocation

logger = logging.getLogger(__name__)


def dollars(seconds: float, *, restored: bool = False) -> float | None:
    """What an invocation of this function costs, in US dollars by its region's price list.

    Args:
        seconds: of the invocation.
        restored: whether an environment was restored for it.

    Returns:
        None outside Lambda, or where no list has the region's prices, which is logged once.
    """
    region, memory_mb = os.environ.get("AWS_REGION"), int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "0"))
    if not (region and memory_mb):
        return None
    try:
        return invocation(seconds, restored=restored, memory_mb=memory_mb, region=region)
    except PriceError as error:
        _warn(str(error))
        return None


@cache
def _warn(sentence: str) -> None:
    logger.warning("lines have no dollars: %s", sentence)
