"""What `lambda-llm package --verify` lets through, and what it says of the rest."""

import json
import stat
import sys
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.cli import main
from lambda_llm.packaging import archive
from lambda_llm.packaging import verify as verifying
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.manifest import NAME, Manifest, NativeBuild, PackageManifest, beside
from lambda_llm.packaging.verify import verify
from support.elf import X86_64, shared_library

SERVE = "bin/serve"
LIBRARY = "llama_cpp/lib/libllama.so"
SOUND = {
    SERVE: b"#!/bin/sh\n",
    LIBRARY: shared_library(needed=["libggml.so", "libc.so.6"], runpath="$ORIGIN"),
    "llama_cpp/lib/libggml.so": shared_library(versions={"libc.so.6": ["GLIBC_2.34"]}),
    "lambda_llm/__init__.py": b'"""A package."""\n' * 100,
}

Make = Callable[..., Path]


def describe(files: Mapping[str, bytes], **changes: Any) -> Manifest:
    given: dict[str, Any] = {
        "function": "inference",
        "version": "0.1.0",
        "architecture": "arm64",
        "runtime": "python3.13",
        "handler": "lambda_llm.inference.handler.handle",
        "exec_wrapper": SERVE,
        "native": NativeBuild(
            llama_cpp_python="0.3.36",
            llama_cpp_source_sha256="0" * 64,
            compiler="zig 0.17.1",
            build_options={},
            source_edits={"an-edit": "0" * 64},
            cpu_variants=["armv8.2_2"],
        ),
        "glibc": "2.34",
        "unzipped_bytes": sum(map(len, files.values())),
        "files": {name: sha256(data).hexdigest() for name, data in files.items()},
    }
    return Manifest(**given | changes)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Zip files with a manifest; whatever is not named is as it should be."""

    def make_it(
        files: Mapping[str, bytes] = SOUND,
        *,
        described: Mapping[str, bytes] | None = None,
        manifest: bytes | None = None,
        modes: Mapping[str, int] | None = None,
        extra: Mapping[str, bytes] | None = None,
        **changes: Any,
    ) -> Path:
        path = tmp_path / "function.zip"
        written = manifest or describe(described or files, **changes).to_json().encode()
        with zipfile.ZipFile(path, "w") as opened:
            for name, data in [*files.items(), (NAME, written), *(extra or {}).items()]:
                entry = zipfile.ZipInfo(name)
                mode = 0o755 if name == SERVE else 0o644
                entry.external_attr = (stat.S_IFREG | (modes or {}).get(name, mode)) << 16
                opened.writestr(entry, data, zipfile.ZIP_DEFLATED)
        return path

    return make_it


def refused(package: Path) -> str:
    with pytest.raises(PackageError) as error:
        verify(package)
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_sound_package_is_let_through_with_its_manifest(make: Make) -> None:
    assert verify(make()) == describe(SOUND)


def test_nothing_there_is_told(tmp_path: Path) -> None:
    assert "There is no file" in refused(tmp_path / "function.zip")


@pytest.mark.parametrize("content", [b"", b"no zip at all" * 100])
def test_what_is_no_zip_is_told(tmp_path: Path, content: bytes) -> None:
    package = tmp_path / "function.zip"
    package.write_bytes(content)
    assert "is not a valid zip" in refused(package)


def test_a_folder_is_no_zip(tmp_path: Path) -> None:
    assert "is not a valid zip" in refused(tmp_path)


def test_a_zip_of_something_else_is_told(tmp_path: Path) -> None:
    package = tmp_path / "function.zip"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "readme.txt").write_text("hello")
    archive.write(folder, package)
    assert refused(package).endswith(f"function.zip is not a package of lambda-llm: it has no {NAME}.")


@pytest.mark.parametrize("manifest", [b"{", b"{}", b'{"format": 1}', b"\xff\xfe"])
def test_a_manifest_that_makes_no_sense_is_told(make: Make, manifest: bytes) -> None:
    assert "The manifest in" in refused(make(manifest=manifest))


def test_a_manifest_with_more_than_is_known_is_told(make: Make) -> None:
    document = json.loads(describe(SOUND).to_json()) | {"signed_by": "somebody"}
    assert "can't be read (1 problems)" in refused(make(manifest=json.dumps(document).encode()))


def test_a_changed_file_is_told(make: Make) -> None:
    package = make({**SOUND, SERVE: b"#!/bin/ls\n"}, described=SOUND)
    assert "bin/serve in" in refused(package)
    assert "is not the file that was built" in refused(package)


def test_an_added_file_is_told(make: Make) -> None:
    assert "disagree on 'sitecustomize.py'" in refused(make({**SOUND, "sitecustomize.py": b""}, described=SOUND))


def test_a_file_that_is_gone_is_told(make: Make) -> None:
    fewer = {name: data for name, data in SOUND.items() if name != LIBRARY}
    assert f"disagree on {LIBRARY!r}" in refused(make(fewer, described=SOUND))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_told(make: Make) -> None:
    assert "has 'bin/serve' twice" in refused(make(extra={SERVE: b"#!/bin/sh\nexit 1\n"}))


@pytest.mark.parametrize(
    ("library", "says"),
    [
        (shared_library(X86_64), "is for EM_X86_64, not for arm64"),
        (shared_library(runpath="/usr/local/lib"), "looks for libraries in '/usr/local/lib'"),
        (shared_library(needed=["libgomp.so.1"]), "needs libgomp.so.1, which is neither"),
        (shared_library(versions={"libc.so.6": ["GLIBC_2.38"]}), "needs GLIBC 2.38, but Lambda has 2.34"),
        (b"\x7fELF and no more", "is not a library for Linux"),
    ],
)
def test_a_library_that_lambda_could_not_load_is_told(make: Make, library: bytes, says: str) -> None:
    said = refused(make({**SOUND, LIBRARY: library}))
    assert said.startswith(LIBRARY)
    assert says in said


def test_the_architecture_of_the_manifest_is_the_one_that_counts(make: Make) -> None:
    assert "is for EM_AARCH64, not for x86_64" in refused(make(architecture="x86_64"))


def test_a_start_script_that_can_t_be_executed_is_told(make: Make) -> None:
    assert f"{SERVE} in" in refused(make(modes={SERVE: 0o644}))
    assert "can't be executed by Lambda's user" in refused(make(modes={SERVE: 0o744}))


def test_a_file_that_lambda_s_user_can_t_read_is_told(make: Make) -> None:
    said = refused(make(modes={LIBRARY: 0o600}))
    assert said.startswith(f"{LIBRARY} in")
    assert "can't be read by Lambda's user" in said


def test_a_package_without_its_start_script_is_told(make: Make) -> None:
    fewer = {name: data for name, data in SOUND.items() if name != SERVE}
    assert f"has no {SERVE}, which starts it" in refused(make(fewer))


def test_a_package_that_is_too_large_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make()
    with zipfile.ZipFile(package) as opened:
        size = sum(entry.file_size for entry in opened.infolist())
    monkeypatch.setattr(verifying, "PACKAGE_UNZIPPED_BYTES", size)
    verify(package)
    monkeypatch.setattr(verifying, "PACKAGE_UNZIPPED_BYTES", size - 1)
    assert "unzipped, Lambda takes" in refused(package)


def test_a_zip_that_is_cut_off_is_told(make: Make) -> None:
    package = make()
    package.write_bytes(package.read_bytes()[:-30])
    assert "is not a valid zip" in refused(package)


def test_a_damaged_byte_anywhere_is_told_and_never_a_stranger_s_error(make: Make) -> None:
    """Each one matters, but for four of a file's in the directory: three that nobody reads, and some permissions."""
    package = make()
    sound = package.read_bytes()
    told = 0
    for at in range(0, len(sound), 3):
        package.write_bytes(sound[:at] + bytes([sound[at] ^ 0x55]) + sound[at + 1 :])
        try:
            verify(package)
        except PackageError:
            told += 1
    assert told >= len(sound) / 3 - 4 * (len(SOUND) + 1)


# -- the manifest beside the zip --------------------------------------------------------------------


def test_the_right_manifest_beside_the_zip_is_let_through(make: Make) -> None:
    package = make()
    beside(package).write_text(PackageManifest.of(package, describe(SOUND)).to_json())
    assert verify(package) == describe(SOUND)


@pytest.mark.parametrize(
    ("field", "value"),
    [("zip_sha256", "0" * 64), ("code_sha256", "AAAA"), ("zip_bytes", 1), ("runtime", "python3.12")],
)
def test_a_manifest_of_another_zip_is_told(make: Make, field: str, value: Any) -> None:
    package = make()
    right = json.loads(PackageManifest.of(package, describe(SOUND)).to_json())
    beside(package).write_text(json.dumps(right | {field: value}))
    assert "describes a zip other than" in refused(package)


def test_a_manifest_beside_the_zip_that_makes_no_sense_is_told(make: Make) -> None:
    package = make()
    beside(package).write_text("{}")
    assert "function.manifest.json can't be read" in refused(package)


# -- the command ------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`lambda-llm` in this process: its status, and what it wrote."""
    for name, value in {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lambda-llm", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        else:
            status = 0
        return status, *capsys.readouterr()

    return run


def test_the_command_says_what_a_sound_package_is(make: Make, command: Callable[..., tuple[int, str, str]]) -> None:
    status, said, error = command("package", "--verify", make())
    assert (status, error) == (0, "")
    assert " ".join(said.split()).endswith(
        "function.zip is consistent with its manifest: inference of lambda-llm 0.1.0 for arm64, python3.13, 4 files, "
        "2.6 KB unzipped, needs GLIBC 2.34, CPU backends armv8.2_2 Whether it is the zip that was published, only its "
        "SHA-256 from elsewhere can tell: --sha256."
    )
    status, said, error = command("package", "--verify", make(), "--json")
    assert (status, error) == (0, "")
    assert json.loads(said) == json.loads(describe(SOUND).to_json())


def test_only_a_digest_from_elsewhere_verifies(make: Make, command: Callable[..., tuple[int, str, str]]) -> None:
    package = make()
    digest = archive.sha256(package)
    for given in (digest, digest.upper()):
        status, said, error = command("package", "--verify", package, "--sha256", given)
        assert (status, error) == (0, "")
        assert "function.zip is verified, it has the SHA-256 that you gave: inference of" in " ".join(said.split())
        assert "--sha256" not in said
    assert json.loads(command("package", "--verify", package, "--sha256", digest, "--json")[1])["version"] == "0.1.0"
    # Somebody else's zip, with a manifest to match inside and beside it.
    package = make({**SOUND, SERVE: b"#!/bin/ls\n"})
    beside(package).write_text(PackageManifest.of(package, describe({**SOUND, SERVE: b"#!/bin/ls\n"})).to_json())
    assert command("package", "--verify", package)[0] == 0
    status, said, error = command("package", "--verify", package, "--sha256", digest)
    assert (status, said) == (1, "")
    assert f"has the SHA-256 {archive.sha256(package)} instead of {digest}" in " ".join(error.split())


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "z" * 64, f"sha256:{'0' * 64}"])
def test_what_is_no_digest_is_told(make: Make, command: Callable[..., tuple[int, str, str]], digest: str) -> None:
    status, said, error = command("package", "--verify", make(), "--sha256", digest)
    assert (status, said) == (1, "")
    assert f"Error: {digest!r} is no SHA-256" in error


def test_a_digest_without_a_zip_is_told(command: Callable[..., tuple[int, str, str]]) -> None:
    assert command("package", "--sha256", "0" * 64) == (
        1,
        "",
        "Error: --sha256 is for checking a zip: add --verify ZIP.\n",
    )


def test_a_manifest_that_lies_about_the_size_is_told(make: Make) -> None:
    said = refused(make(unzipped_bytes=1))
    assert "bytes) unzipped, its manifest says 1 bytes" in said


@pytest.mark.parametrize("field", ["function", "version", "runtime", "handler", "exec_wrapper", "glibc"])
def test_a_manifest_that_would_write_to_the_terminal_is_refused(make: Make, field: str) -> None:
    document = json.loads(describe(SOUND).to_json()) | {field: "\x1b[2J"}
    assert "can't be read (1 problems)" in refused(make(manifest=json.dumps(document).encode()))


def test_a_file_of_the_manifest_that_would_write_to_the_terminal_is_escaped(make: Make) -> None:
    assert r"disagree on '\x1b[2J'" in refused(make(described={**SOUND, "\x1b[2J": b""}))


def test_a_manifest_of_any_size_is_not_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MANIFEST_BYTES", 100)
    assert "The manifest in" in refused(make())
    assert "more than 0.0 MB" in refused(make())


def test_the_command_says_in_a_sentence_what_is_wrong(make: Make, command: Callable[..., tuple[int, str, str]]) -> None:
    for arguments in ((), ("--json",)):
        status, said, error = command("package", "--verify", make(modes={SERVE: 0o644}), *arguments)
        assert (status, said) == (1, "")
        assert error.startswith("Error: bin/serve in ")
        assert error.count("\n") == 1
