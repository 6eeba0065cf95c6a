"""CPU features, at init and after a restore."""

import ctypes
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lambda_llm.inference.errors import CPUChangedError

_CPUINFO: Final = Path("/proc/cpuinfo")

ARM_FEATURES: Final = {
    "asimd": (16, 1),
    "asimdhp": (16, 10),
    "asimddp": (16, 20),
    "sve": (16, 22),
    "sve2": (26, 1),
    "svei8mm": (26, 9),
    "svebf16": (26, 12),
    "i8mm": (26, 13),
    "bf16": (26, 14),
    "sme": (26, 23),
}
"""Features for which ggml has kernels on arm64: Linux's name → entry of the auxiliary vector (16 is AT_HWCAP, 26 is
AT_HWCAP2) and bit. Source: https://docs.kernel.org/arch/arm64/elf_hwcaps.html"""

X86_FEATURES: Final = frozenset(
    {"avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"}
    | {"amx_int8", "amx_tile"}
)
"""The same for x86-64, as /proc/cpuinfo names them."""


def features(cpuinfo: Path | None = None) -> frozenset[str]:
    """Features of this CPU that ggml's kernels may use; the loss of any other is harmless.

    On arm64 they are read from the auxiliary vector, as in ggml; elsewhere from /proc/cpuinfo. Without that file there
    are none.

    Args:
        cpuinfo: a file to read instead.
    """
    if cpuinfo is None and platform.machine() == "aarch64":
        getauxval = ctypes.CDLL(None).getauxval
        getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
        return frozenset(name for name, (entry, bit) in ARM_FEATURES.items() if getauxval(entry) >> bit & 1)
    try:
        lines = (cpuinfo or _CPUINFO).read_text().splitlines()
    except OSError:
        return frozenset()
    named = (line.partition(":") for line in lines)
    cores = [values.split() for name, _, values in named if name.strip() in {"Features", "flags"}]
    return X86_FEATURES.union(ARM_FEATURES).intersection(*cores) if cores else frozenset()


GRAVITON: Final = {"0xd0c": "Graviton2", "0xd40": "Graviton3", "0xd4f": "Graviton4"}
"""Linux's part number of the core → AWS's name of the CPU: Neoverse N1, V1 and V2.

Source: https://github.com/torvalds/linux/blob/master/arch/arm64/include/asm/cputype.h"""


def name(cpuinfo: Path = _CPUINFO) -> str | None:
    """What this CPU is: a Graviton's generation, or else what the kernel calls it; None where it doesn't say.

    Args:
        cpuinfo: the file to read.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    part = told.get("CPU part")
    if part is not None:
        return GRAVITON.get(part, f"arm64 {part}")
    return told.get("model name")


def require(recorded: Iterable[str], now: Iterable[str]) -> None:
    """Return if no recorded feature is missing.

    Kernels are chosen once, when the model is loaded, so a snapshot must not be restored on a CPU without their
    features: the process would die of an illegal instruction in the middle of a response.

    Raises:
        CPUChangedError: names the missing features.
    """
    missing = sorted(set(recorded) - set(now))
    if missing:
        raise CPUChangedError(
            f"The snapshot was taken on a CPU with {', '.join(missing)}, which this one lacks: publish the version "
            "again, and report it if it recurs."
        )
