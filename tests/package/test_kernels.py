"""The kernels of attention in each variant that is shipped: which instructions they have, and what they compute."""

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from capstone import CS_ARCH_ARM64, CS_MODE_ARM, Cs
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from support import attention
from support.attention import CASES, HALF_PRECISION_ERROR, LARGEST_ERROR, TILE, Case
from support.debian import arm64_root, interpreter, needs_arm64
from support.package import Package

ENTRY = "ggml_compute_forward_flash_attn_ext"
ACCUMULATORS = 16
"""Of NEON's 32 registers: four rows by four vectors, as GEMM_RM and GEMM_RN say in llama.cpp's simd-gemm.h."""

CPUS = {
    "armv8.2_2": "neoverse-n1",
    "armv8.6_1": "max,pauth-impdef=on,sme=off,sve-max-vq=2",
    "armv8.6_2": "max,pauth-impdef=on,sme=off,sve-max-vq=1",
}
"""The variants that Graviton2, 3 and 4 take, and qemu's name for a CPU with their instructions."""


@pytest.fixture(scope="module")
def libraries(task: Path) -> Path:
    return task / "llama_cpp/lib"


def functions(library: Path) -> dict[int, bytes]:
    """The code of each function by its address. Names are stripped, but for those that other libraries call."""
    with library.open("rb") as file:
        elf = ELFFile(file)
        text = elf.get_section_by_name(".text")
        assert text
        code, start = text.data(), text["sh_addr"]
        entries = [each.header for each in elf.get_dwarf_info().EH_CFI_entries() if isinstance(each, FDE)]
    ranges = ((each["initial_location"], each["address_range"]) for each in entries)
    return {at: code[at - start : at - start + size] for at, size in ranges if start <= at < start + len(code)}


def address(library: Path, name: str) -> int:
    with library.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".dynsym")
        assert isinstance(symbols, SymbolTableSection)
        found = symbols.get_symbol_by_name(name)
        assert found
        return int(found[0]["st_value"])


def called(code: dict[int, bytes], entry: int) -> Iterator[list[tuple[str, str]]]:
    """The instructions of a function and of all that it calls directly, each as mnemonic and operands."""
    disassembler = Cs(CS_ARCH_ARM64, CS_MODE_ARM)
    disassembler.skipdata = True
    waiting, seen = [entry], set()
    while waiting:
        at = waiting.pop()
        if at in seen or at not in code:
            continue
        seen.add(at)
        instructions = [(name, operands) for _, _, name, operands in disassembler.disasm_lite(code[at], at)]
        waiting += [int(to.removeprefix("#"), 16) for name, to in instructions if name in {"b", "bl"}]
        yield instructions


def accumulators(instructions: list[tuple[str, str]]) -> int:
    """The most registers that vector multiply-adds sum up in between two branches."""
    branches = [at for at, (name, _) in enumerate(instructions) if name.startswith(("b", "cb", "tb", "ret"))]
    return max(
        (
            len({to.partition(".4s")[0] for name, to in instructions[first:last] if name == "fmla" and ".4s" in to})
            for first, last in pairwise([0, *branches, len(instructions)])
        ),
        default=0,
    )


def test_the_matrix_product_of_attention_has_vector_multiply_adds_in_each_variant(
    libraries: Path, package: Package
) -> None:
    """Without native/edits/attention-gemm.toml CPUs with SVE get a scalar loop, the others blocks of four."""
    found = {}
    for variant in package.manifest["native"]["cpu_variants"]:
        library = libraries / f"libggml-cpu-{variant}.so"
        found[variant] = max(map(accumulators, called(functions(library), address(library, ENTRY))))
    assert set(CPUS) == set(found)
    assert found == dict.fromkeys(found, ACCUMULATORS)


@pytest.mark.parametrize("variant", [pytest.param(each, marks=needs_arm64) for each in CPUS])
def test_each_variant_computes_what_attention_is(libraries: Path, task: Path, tmp_path: Path, variant: str) -> None:
    """And the same to the last bit for tokens evaluated together and apart."""
    python = interpreter(arm64_root(), tmp_path / "python")
    command = [str(python), "-B", str(attention.__file__), str(libraries), f"libggml-cpu-{variant}.so"]
    environment = os.environ | {"QEMU_CPU": CPUS[variant], "PYTHONPATH": str(task)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [tuple(case) for case, _, _ in results] == [tuple(case) for case in CASES]
    for values, error, same in results:
        case = Case(*values)
        one_by_one = case.rows < TILE and case.heads == case.shared
        assert error < (HALF_PRECISION_ERROR if one_by_one else LARGEST_ERROR), case
        assert same or (case.heads == case.shared and case.rows >= TILE), case
