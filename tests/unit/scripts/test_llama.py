"""When llama.cpp is compiled, with what, and for which machine."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.build import llama as build_llama
from scripts.build.llama import Target, Toolchain, build, find_toolchain, options
from scripts.build.llama_edits import read_edits
from scripts.build.progress import SetupError

HOST = Target("linux", "x86_64")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "host", classmethod(lambda _: HOST))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    kernel = folder / "vendor/llama.cpp/kernel.c"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("slow\n")
    (folder / build_llama.SOURCE_STAMP).write_text("a hash")
    return folder


@pytest.fixture(autouse=True)
def edits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One edit, of the source above."""
    folder = tmp_path / "edits"
    folder.mkdir()
    text = 'title = "Quick"\nwhy = "It was slow."\n[[edit]]\npath = "kernel.c"\nbefore = "slow"\nafter = "quick"\n'
    (folder / "quick.toml").write_text(text)
    monkeypatch.setattr(build_llama, "read_edits", lambda: read_edits(folder))
    return folder


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    """Programs that note their calls in place of compiling."""
    calls = tmp_path / "calls"
    cmake = program(
        tmp_path / "bin" / "cmake",
        f'echo "$@" >>{calls}\n'
        'for a; do case $w in -B) mkdir -p "$a/bin"; touch "$a/bin/libllama.so";; esac; w=$a; '
        f"case $a in -DLLAMA_CPP=*) cat ${{a#*=}}/kernel.c >>{calls}.source;; esac; done",
    )
    ninja = program(tmp_path / "bin" / "ninja", "echo '[1/2] Building CXX object a/llama.cpp.o'")
    return Toolchain("cc", "c++", str(cmake), str(ninja), "a compiler 1.0")


def times_configured(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


def test_an_unchanged_build_is_kept(tmp_path: Path, source: Path, toolchain: Toolchain) -> None:
    states: list[str] = []
    for _ in range(2):
        lib = build(HOST, toolchain, source=source, output=tmp_path / "out", report=states.append)
    assert [path.name for path in build_llama.libraries(lib)] == ["libllama.so"]
    assert times_configured(tmp_path) == 1
    assert states == ["configuring", "compiling [1/2] llama.cpp"]


def test_each_input_that_changes_rebuilds(
    tmp_path: Path, source: Path, edits: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built() -> int:
        build(HOST, toolchain, source=source, output=tmp_path / "out")
        return times_configured(tmp_path)

    assert built() == 1
    (source / build_llama.SOURCE_STAMP).write_text("another hash")
    assert built() == 2
    toolchain = replace(toolchain, identity="a compiler 2.0")
    assert built() == 3
    monkeypatch.setattr(build_llama, "options", lambda _: {"GGML_AVX2": "OFF"})
    assert built() == 4
    changed = tmp_path / "CMakeLists.txt"
    changed.write_text("# another")
    monkeypatch.setattr(build_llama, "NATIVE", changed)
    assert built() == 5
    (edits / "quick.toml").write_text((edits / "quick.toml").read_text().replace('"quick"', '"quicker"'))
    assert built() == 6
    assert built() == 6


def test_a_build_that_failed_is_not_taken_for_one(tmp_path: Path, source: Path, toolchain: Toolchain) -> None:
    broken = replace(toolchain, ninja=str(program(tmp_path / "ninja", "echo error: no such type; exit 1")))
    with pytest.raises(SetupError, match=r"did not compile; its last lines(?s:.*)no such type"):
        build(HOST, broken, source=source, output=tmp_path / "out")
    build(HOST, toolchain, source=source, output=tmp_path / "out")
    assert times_configured(tmp_path) == 2


def test_the_machine_s_own_compiler_comes_first(tmp_path: Path) -> None:
    cc, cxx, cmake, ninja = (
        str(program(tmp_path / name, f"echo {name} version 1\necho more")) for name in ("cc", "c++", "cmake", "ninja")
    )
    found = find_toolchain(HOST, str(tmp_path), tmp_path / "none")
    assert found == Toolchain(cc, cxx, cmake, ninja, identity="c++ version 1")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An environment with the packages of requirements/compiler.txt; its zig prints its arguments."""
    for name in ("cmake", "ninja"):
        program(tmp_path / "installed" / "bin" / name, "")
    program(tmp_path / "installed/lib/python3.11/site-packages/ziglang/zig", 'echo "$@"')
    return tmp_path / "installed"


def wrapped(toolchain: Toolchain | None, *arguments: str) -> str:
    assert toolchain is not None
    return subprocess.run([toolchain.cxx, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_without_a_compiler_zig_compiles_for_every_machine_of_ten_years(installed: Path) -> None:
    found = find_toolchain(HOST, "/nowhere", installed)
    assert wrapped(found, "-c", "a b.cpp") == "c++ -target x86_64-linux-gnu.2.28 -mcpu=x86_64_v3 -c a b.cpp"


def test_another_machine_is_built_for_with_zig_and_its_names_for_arm(tmp_path: Path, installed: Path) -> None:
    for name in ("cc", "c++"):
        program(tmp_path / "path" / name, "")
    found = find_toolchain(Target("linux", "aarch64", every_cpu=True), str(tmp_path / "path"), installed)
    assert (
        wrapped(found, "-march=armv8.2-a+dotprod+fp16")
        == "c++ -target aarch64-linux-gnu.2.34 -mcpu=generic+v8_2a+dotprod+fullfp16"
    )


def test_nothing_to_compile_with_is_no_toolchain(tmp_path: Path) -> None:
    assert find_toolchain(HOST, "/nowhere", tmp_path) is None


def test_no_build_depends_on_what_the_building_cpu_has() -> None:
    local = options(HOST)
    assert local["GGML_NATIVE"] == "OFF"
    assert local["GGML_AVX2"] == "ON"
    assert not any("AMX" in name or "AVX512" in name for name in local)
    everywhere = options(Target("linux", "aarch64", every_cpu=True))
    assert everywhere["GGML_CPU_ALL_VARIANTS"] == everywhere["GGML_BACKEND_DL"] == "ON"
    assert everywhere["CMAKE_SYSTEM_PROCESSOR"] == "aarch64"


def test_a_build_with_other_options_stands_beside_the_usual_one(
    tmp_path: Path, source: Path, toolchain: Toolchain
) -> None:
    other = replace(HOST, defines=("GGML_OPENMP=ON", "GGML_AVX2=OFF"))
    folders = [build(each, toolchain, source=source, output=tmp_path / "out") for each in (HOST, other)]
    assert folders[0] != folders[1]
    usual, changed = (tmp_path / "calls").read_text().splitlines()
    assert "OPENMP" not in usual
    assert "-DGGML_OPENMP=ON" in changed.split()
    assert "-DGGML_AVX2=OFF" in changed.split()
    assert "-DGGML_AVX2=ON" not in changed.split()


def test_other_options_change_nothing_about_where_a_build_is_for(installed: Path, tmp_path: Path) -> None:
    for name in ("cc", "c++"):
        program(tmp_path / "path" / name, "echo own version 1")
    found = find_toolchain(replace(HOST, defines=("GGML_OPENMP=ON",)), str(tmp_path / "path"), installed)
    assert found is not None
    assert found.identity == "own version 1"
    assert "CMAKE_SYSTEM_NAME" not in options(replace(HOST, defines=("GGML_OPENMP=ON",)))


def test_an_option_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["build_llama.py", "--define", "GGML_OPENMP"])
    with pytest.raises(SystemExit):
        build_llama.main()
    assert "NAME=VALUE" in capsys.readouterr().err


def test_the_source_is_edited_in_a_copy_unless_the_build_is_to_be_without(
    tmp_path: Path, source: Path, toolchain: Toolchain
) -> None:
    unedited = replace(HOST, edited=False)
    folders = [build(each, toolchain, source=source, output=tmp_path / "out") for each in (HOST, unedited)]
    assert folders[0] != folders[1]
    assert (tmp_path / "calls.source").read_text().split() == ["quick", "slow"]
    assert (source / "vendor/llama.cpp/kernel.c").read_text() == "slow\n"
    assert not list((tmp_path / "out").rglob("kernel.c")), "nothing of the copies is left"


def test_a_source_that_an_edit_does_not_expect_is_not_compiled(
    tmp_path: Path, source: Path, toolchain: Toolchain
) -> None:
    (source / "vendor/llama.cpp/kernel.c").write_text("as quick as can be\n")
    with pytest.raises(SetupError, match=r"native/edits/quick.toml expects the text that begins with 'slow' once"):
        build(HOST, toolchain, source=source, output=tmp_path / "out")
    assert not (tmp_path / "calls").exists()
    build(replace(HOST, edited=False), toolchain, source=source, output=tmp_path / "out")
