"""Randomness after a restore: state that was seeded before the snapshot is the same in every environment."""

import os
import random
import ssl
import sys
from typing import Final

_BYTES: Final = 32


def reseed() -> None:
    """Reseed every generator of this process from the system's entropy, which is fresh after a restore.

    Ids (`uuid`) and default sampling seeds (`secrets`) read the system's entropy each time; llama.cpp keeps no
    generator between requests.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
    """
    random.seed()
    ssl.RAND_add(os.urandom(_BYTES), _BYTES)
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()
