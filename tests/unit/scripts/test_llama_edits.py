"""Edits of llama.cpp's source: made whole or not at all, and offered as a diff that `patch` takes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.build.llama import LLAMA_CPP
from scripts.build.llama_edits import Edit, Replacement, digest, read_edits
from scripts.build.progress import SetupError

EDITS = read_edits()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What the edits touch of llama.cpp's source."""
    folder = tmp_path / "llama.cpp"
    for path in {each.path for edit in EDITS for each in edit.replacements}:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(LLAMA_CPP / path, folder / path)
    return folder


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_each_edit_has_its_reason_and_changes_what_it_says(edit: Edit, source: Path) -> None:
    assert edit.title
    assert edit.why.endswith(".\n")
    before = {each.path: (source / each.path).read_text() for each in edit.replacements}
    edit.apply(source)
    for each in edit.replacements:
        text = (source / each.path).read_text()
        assert text != before[each.path]
        assert each.after in text


def test_all_can_be_made_one_after_the_other_and_none_twice(source: Path) -> None:
    for edit in EDITS:
        edit.apply(source)
    for edit in EDITS:
        with pytest.raises(SetupError, match=f"native/edits/{edit.name}.toml expects"):
            edit.apply(source)


@pytest.mark.needs("patch", get="apt-get install patch")
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_a_diff_is_what_the_edit_does(edit: Edit, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(source, other)
    edit.apply(source)
    subprocess.run(["patch", "-p1"], cwd=other, input=edit.diff(other), text=True, check=True, capture_output=True)
    for each in edit.replacements:
        assert (other / each.path).read_text() == (source / each.path).read_text()


def test_what_is_not_as_expected_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("one two")
    (tmp_path / "b.c").write_text("two two")
    replacements = (Replacement("a.c", "one", "1"), Replacement("b.c", "two", "2"))
    edit = Edit("numbers", "Numbers", "Why.\n", replacements)
    with pytest.raises(SetupError, match=r"'two' once in llama.cpp's b.c, which has it 2 times: llama.cpp has changed"):
        edit.apply(tmp_path)
    assert (tmp_path / "a.c").read_text() == "one two"
    gone = Edit("gone", "Gone", "Why.\n", (Replacement("c.c", "one", "1"),))
    with pytest.raises(SetupError, match=r"native/edits/gone.toml changes llama.cpp's c.c, which is no longer there"):
        gone.apply(tmp_path)


def test_the_order_of_their_names_is_theirs_and_every_change_has_another_digest(tmp_path: Path) -> None:
    text = 'title = "{0}"\nwhy = "It was."\n[[edit]]\npath = "a.c"\nbefore = "a"\nafter = "{0}"\n'
    for name in ("b", "a"):
        (tmp_path / f"{name}.toml").write_text(text.format(name))
    first = read_edits(tmp_path)
    assert [edit.name for edit in first] == ["a", "b"]
    (tmp_path / "b.toml").write_text(text.format("c"))
    assert len({digest(first), digest(read_edits(tmp_path)), digest(first[:1]), digest([])}) == 4
