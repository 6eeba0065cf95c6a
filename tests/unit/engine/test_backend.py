"""Which of llama.cpp's CPU backends runs here."""

from pathlib import Path

import pytest

from lambda_llm.engine import backend
from lambda_llm.engine.engine import Engine

MAPS = """\
7f00-7f01 r-xp 00000000 00:00 1 /opt/lib/libggml-base.so
7f02-7f03 r-xp 00000000 00:00 2 /opt/lib/{name}
"""


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("libggml-cpu-armv8.2_2.so", "armv8.2_2"),
        ("libggml-cpu-sandybridge.so", "sandybridge"),
        ("libggml-cpu.so.0.25.3", backend.BUILT_IN),
        ("libm.so.6", backend.BUILT_IN),
    ],
)
def test_the_variant_is_the_library_that_was_loaded(tmp_path: Path, library: str, expected: str) -> None:
    (tmp_path / "maps").write_text(MAPS.format(name=library))
    assert backend.variant(tmp_path / "maps") == expected


def test_a_system_that_does_not_tell_has_the_backend_that_was_built_in(tmp_path: Path) -> None:
    assert backend.variant(tmp_path / "missing") == backend.BUILT_IN


def test_the_libraries_are_where_the_bindings_look_for_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert any(file.stem.startswith("libllama") for file in backend.library_folder().iterdir())
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    assert backend.library_folder() == tmp_path


def test_loading_twice_changes_nothing(engine: Engine) -> None:
    before = backend.variant()
    backend.load()
    assert backend.variant() == before
    assert engine.decoder.evaluate([1]) == 0
