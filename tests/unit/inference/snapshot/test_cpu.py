"""What the CPU can do, and whether it still can after a restore."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_llm.inference.errors import CPUChangedError
from lambda_llm.inference.snapshot import cpu

GRAVITON = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 crc32 atomics fphp asimdhp asimddp sve i8mm bf16
CPU part\t: 0xd40

"""
OLDER = GRAVITON.replace(" sve i8mm bf16", "")
INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx f16c fma avx2 bmi2\nbugs\t\t: spectre\n\n"


Write = Callable[[str], Path]


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        (tmp_path / "cpuinfo").write_text(text)
        return tmp_path / "cpuinfo"

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GRAVITON, {"asimd", "asimdhp", "asimddp", "sve", "i8mm", "bf16"}),
        (INTEL, {"avx", "f16c", "fma", "avx2", "bmi2"}),
        (GRAVITON + OLDER, {"asimd", "asimdhp", "asimddp"}),
        ("processor\t: 0\n", set()),
        ("", set()),
    ],
    ids=["arm64", "x86-64", "what every core has", "no list", "nothing"],
)
def test_the_features_that_llama_cpp_may_use_are_read(cpuinfo: Write, text: str, expected: set[str]) -> None:
    assert cpu.features(cpuinfo(text)) == expected


def test_a_system_that_does_not_tell_has_no_features(tmp_path: Path) -> None:
    assert cpu.features(tmp_path / "missing") == frozenset()


def test_this_machine_has_what_it_has() -> None:
    cpu.require(cpu.features(), cpu.features())


def test_a_feature_more_does_no_harm() -> None:
    cpu.require({"asimd"}, {"asimd", "sve"})


def test_each_feature_that_is_gone_is_named() -> None:
    with pytest.raises(CPUChangedError, match=r"taken on a CPU with i8mm, sve, which this one lacks: publish"):
        cpu.require({"sve", "asimd", "i8mm"}, {"asimd"})


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\nCPU revision\t: 1\n", "Graviton2"),
        ("CPU part\t: 0xd40\n", "Graviton3"),
        ("CPU part\t: 0xd4f\n\nCPU part\t: 0xd4f\n", "Graviton4"),
        ("CPU part\t: 0xd99\n", "arm64 0xd99"),
        ("vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7R13 Processor\n", "AMD EPYC 7R13 Processor"),
        ("", None),
    ],
)
def test_a_cpu_has_a_name(tmp_path: Path, cpuinfo: str, expected: str | None) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    assert cpu.name(file) == expected
    assert cpu.name(tmp_path / "missing") is None
