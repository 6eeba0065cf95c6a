"""Every probe, in the order in which they are asked: those that leave something running come last."""

from typing import Final

from lambda_llm.cli.probes import (
    abandoned,
    alias,
    checksum,
    cpu,
    delay,
    fresh_environment,
    health,
    invariants,
    invocation,
    latest,
    memory,
    role,
    second_turn,
    snap_start,
    streaming,
    unsigned,
)
from lambda_llm.cli.probes.base import Probe

PROBES: Final[tuple[Probe, ...]] = tuple(
    module.PROBE
    for module in (
        health,
        snap_start,
        alias,
        invariants,
        role,
        checksum,
        cpu,
        memory,
        unsigned,
        invocation,
        latest,
        delay,
        second_turn,
        streaming,
        fresh_environment,
        abandoned,
    )
)
