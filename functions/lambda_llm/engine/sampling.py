"""How the next token is chosen."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import llama_cpp

_OWN_SEED: Final = 0xFFFFFFFF
"""LLAMA_DEFAULT_SEED: told this one, llama.cpp draws a seed of its own."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest token always; higher is more varied.
        top_p: only the likeliest tokens whose probabilities sum up to this are considered.
        seed: makes the choice repeatable; None draws one from the system's entropy.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


@contextmanager
def sampler(sampling: Sampling) -> Iterator[Any]:
    """A llama.cpp sampler chain: it works on the logits where they are, without a Python object per token."""
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    try:
        if sampling.temperature == 0:
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
        else:
            seed = sampling.seed if sampling.seed is not None else secrets.randbits(32)
            if sampling.top_p < 1:
                llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_temp(sampling.temperature))
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(seed % _OWN_SEED))
        yield chain
    finally:
        llama_cpp.llama_sampler_free(chain)
