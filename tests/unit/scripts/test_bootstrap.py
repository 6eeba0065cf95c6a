"""What a set-up installs, keeps and says."""

import io
import re
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scripts import ROOT
from scripts.build import bootstrap, lock
from scripts.build.progress import Progress, SetupError, explain, run

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
NATIVE = "llama-cpp-python"
PACKAGE = "lambda-llm"
BASE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
FUNCTIONS = BASE + [name for extra in lock.EXTRAS for name in EXTRAS[extra]]

LISTS = {
    "functions": FUNCTIONS,
    "cli": FUNCTIONS + EXTRAS["cli"],
    "llama": [NATIVE],
    **{name: names for name, names in PROJECT["dependency-groups"].items() if name != "dev"},
}
LISTS["dev"] = LISTS["cli"] + PROJECT["dependency-groups"]["dev"]


def pins(path: Path) -> dict[str, list[str]]:
    """The hashes of each pinned package; those of versions for different Pythons together."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if match := re.match(r"([a-z0-9][a-z0-9.-]*)==\S+", line):
            name = match.group(1)
            found.setdefault(name, [])
        else:
            match = re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?", line)
            assert match, f"{path.name} has a line of another kind: {line}"
            found[name].append(match.group(1))
    return found


def test_every_list_has_a_lock_and_every_lock_a_list() -> None:
    assert [path.stem for path in LOCKS] == sorted(LISTS)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_its_list_by_hash_and_names_no_address(path: Path) -> None:
    pinned = pins(path)
    assert all(pinned.values())
    assert "://" not in path.read_text()
    listed = {re.split(r"[\[=<>~! ]", name)[0] for name in LISTS[path.stem]} - {PACKAGE}
    if path.stem != "llama":
        assert NATIVE not in pinned, "it comes from its source alone"
        listed.discard(NATIVE)
    assert listed <= set(pinned), f"pyproject.toml lists what {path.name} does not pin: run `make lock`"


def test_the_smaller_locks_pin_what_the_larger_ones_do() -> None:
    lines = {name: set((ROOT / f"requirements/{name}.txt").read_text().splitlines()) for name in LISTS}
    assert lines["functions"] <= lines["cli"] <= lines["dev"]


def test_the_native_lock_names_one_file() -> None:
    assert len(bootstrap.locked_hash((ROOT / "requirements/llama.txt").read_text())) == 64
    with pytest.raises(SetupError, match="make lock"):
        bootstrap.locked_hash("llama-cpp-python==1")


def test_a_source_is_unpacked_without_its_outer_folder_and_what_nobody_reads(tmp_path: Path) -> None:
    archive = tmp_path / "source.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        for name in ("setup.py", "vendor/llama.cpp/models/a.gguf", "vendor/llama.cpp/tools/ui/big.js"):
            members.addfile(tarfile.TarInfo(f"package-1.0/{name}"), io.BytesIO())
    bootstrap.unpack(archive, tmp_path / "out")
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"setup.py", "vendor/llama.cpp/models/a.gguf"}


def test_an_environment_of_another_python_is_made_anew(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    (tmp_path / "lib" / "python3.4").mkdir(parents=True)
    assert not bootstrap.environment_is_usable(tmp_path)
    (tmp_path / "lib" / "python{}.{}".format(*sys.version_info[:2])).mkdir()
    assert bootstrap.environment_is_usable(tmp_path)
    python.unlink()
    assert not bootstrap.environment_is_usable(tmp_path)


@pytest.mark.parametrize(("version", "works"), [("22.2.2", False), ("22.3", True), ("26.3.1", True)])
def test_an_old_pip_is_passed_over(version: str, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    monkeypatch.setattr(bootstrap, "version", lambda _: version)
    assert bootstrap.own_pip_works() is works


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "does not match its hash in requirements/",
        ),
        ("NewConnectionError: Temporary failure in name resolution", "index can't be reached"),
        ("fatal error: error writing to /x.s: No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for ruff==99", "has no build of a package"),
        ("The virtual environment was not created because ensurepip is not available", "python3-venv"),
    ],
)
def test_a_known_cause_is_said_in_one_sentence(output: str, sentence: str) -> None:
    said = explain(output)
    assert said
    assert sentence in said
    assert "\n" not in said


def test_a_failed_command_names_its_cause_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    script = "print('first'); print('No space left on device'); raise SystemExit(1)"
    with pytest.raises(SetupError, match=r"^It failed: the disk is full.*x\.log\)$"):
        run([sys.executable, "-c", script], log, lambda _: None, "It failed")
    assert log.read_text() == "first\nNo space left on device\n"


def test_a_failure_of_unknown_cause_shows_its_last_lines(tmp_path: Path) -> None:
    script = "print('first'); print('what it was'); raise SystemExit(1)"
    with pytest.raises(SetupError, match=r"what it was$"):
        run([sys.executable, "-c", script], tmp_path / "x.log", lambda _: None, "It failed")


def test_a_log_gets_lines_now_and_then_and_no_control_characters() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        for number in range(100):
            progress.update("llama.cpp", f"compiling [{number}/100]")
        progress.done("llama.cpp", "compiled")
    assert stream.getvalue() == "  llama.cpp: compiling [0/100]\n  llama.cpp: compiled (0 s)\n"


def test_a_terminal_gets_one_line_that_lives() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress(stream) as progress:
        progress.update("packages", "downloading")
        progress.update("llama.cpp", "compiling")
    assert "\n" not in stream.getvalue()
    assert "packages: downloading   llama.cpp: compiling" in stream.getvalue()
