"""How much memory a model may take."""

from pathlib import Path

import psutil
import pytest

from lambda_llm.inference.settings import Settings
from lambda_llm.inference.snapshot.memory import available_memory, huge_pages, resident
from lambda_llm.limits import MEMORY_MB, MIB

LAMBDA = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB)}


def settings(memory_mb: int | None = None) -> Settings:
    return Settings.load(model="m.gguf", memory_mb=memory_mb)


def test_the_setting_comes_first(tmp_path: Path) -> None:
    assert available_memory(settings(512), LAMBDA, tmp_path / "missing") == 512 * MIB


def test_then_what_lambda_gives(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text(str(64 * MIB))
    assert available_memory(settings(), LAMBDA, tmp_path / "limit") == MEMORY_MB * MIB


@pytest.mark.parametrize("limit", [None, "max\n", "", "9" * 20])
def test_then_what_is_free_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None) -> None:
    free = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    if limit is not None:
        (tmp_path / "limit").write_text(limit)
    assert available_memory(settings(), {}, tmp_path / "limit") == free.available


def test_but_no_more_than_the_container_may_take(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text(f"{64 * MIB}\n")
    assert available_memory(settings(), {}, tmp_path / "limit") == 64 * MIB


def test_this_process_occupies_something() -> None:
    assert MIB < resident() < psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("text", "said"),
    [("always [madvise] never\n", "madvise"), ("[always] madvise never", "always"), ("", "unknown"), (None, "unknown")],
)
def test_the_kernel_says_who_gets_huge_pages(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "enabled").write_text(text)
    assert huge_pages(tmp_path / "enabled") == said
