"""Randomness after a restore: what was drawn before the snapshot is the same in every environment."""

import os
import random
import ssl
import sys
from typing import Final

_BYTES: Final = 32


def reseed() -> None:
    """Seed every generator of this process anew from the system's entropy, which is fresh after a restore.

    Ids (`uuid`) and default seeds of answers (`secrets`) ask the system each time; llama.cpp keeps no generator
    between answers.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
    """
    random.seed()
    ssl.RAND_add(os.urandom(_BYTES), _BYTES)
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()
