"""What the CPU can do, at init and after a restore."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lambda_llm.lifecycle.errors import CPUChangedError

_CPUINFO: Final = Path("/proc/cpuinfo")

USED_FEATURES: Final = frozenset(
    {"asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "svebf16", "sme", "sme2"}
    | {"avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"}
    | {"amx_int8", "amx_tile"}
)
"""Features, as Linux names them, for which ggml has kernels; losing another one does no harm."""


def features(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Those of `USED_FEATURES` that this CPU has; empty where there is no /proc/cpuinfo.

    Source: https://docs.kernel.org/arch/arm64/elf_hwcaps.html
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":") for line in lines)
    cores = [values.split() for name, _, values in named if name.strip() in {"Features", "flags"}]
    return USED_FEATURES.intersection(*cores) if cores else frozenset()


def require(recorded: Iterable[str], now: Iterable[str]) -> None:
    """Return when nothing that was there is gone.

    Kernels are chosen once, when the model is loaded, so a snapshot must not wake up on a CPU without them:
    it would die of an illegal instruction in the middle of an answer.

    Raises:
        CPUChangedError: names what is missing.
    """
    missing = sorted(set(recorded) - set(now))
    if missing:
        raise CPUChangedError(
            f"The snapshot was taken on a CPU with {', '.join(missing)}, which this one lacks: publish the version "
            "again, and report it if it recurs."
        )
