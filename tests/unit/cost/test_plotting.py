"""Pictures as files: SVG with a dark mode, PNG, and one sentence for what can't be drawn."""

import struct
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib.pyplot as plt
import pytest

from lambda_llm.cost.plotting import FAINT, INK, PAPER, PictureError, checked, save


def picture(path: Path) -> bytes:
    checked(path)
    figure, axes = plt.subplots(figsize=(4, 3))
    try:
        axes.plot([0, 1, 2], [2, 1, 3], label="a < b & c")
        axes.grid(visible=True)
        axes.legend()
        save(figure, path)
    finally:
        plt.close(figure)
    return path.read_bytes()


def test_an_svg_is_xml_and_follows_a_page_into_its_dark_mode(tmp_path: Path) -> None:
    text = picture(tmp_path / "picture.svg").decode()
    root = ET.fromstring(text)  # noqa: S314 - written above
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    styles = [each.text or "" for each in root if each.tag.endswith("style")]
    assert any("@media screen and (prefers-color-scheme: dark)" in each for each in styles)
    for colour in (INK, FAINT, PAPER):
        assert f'[style*="fill: {colour}"]{{fill:#' in styles[0]
    assert f"fill: {INK}" in text
    assert "a &lt; b &amp; c" in text
    assert "<dc:date>" not in text


def test_a_png_has_its_size_and_is_not_blank(tmp_path: Path) -> None:
    content = picture(tmp_path / "picture.png")
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (480, 360)
    pixels = plt.imread(tmp_path / "picture.png")
    assert pixels.std() > 0.05
    assert pixels.mean() > 0.8  # on white


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_picture_has_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    assert picture(tmp_path / f"one{suffix}") == picture(tmp_path / f"other{suffix}")


@pytest.mark.parametrize("name", ["cost.pdf", "cost", "cost.SVG", "svg"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PictureError, match=r"can't be drawn: name a file that ends in \.svg or \.png\.$"):
        checked(tmp_path / name)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"none is no folder: create it, or name a file elsewhere\.$"):
        checked(tmp_path / "none" / "cost.svg")


def test_a_folder_in_the_files_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "cost.png").mkdir()
    with pytest.raises(PictureError, match=r"cost\.png can't be written \(Is a directory\): name a file elsewhere\.$"):
        picture(tmp_path / "cost.png")


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PictureError, match=r"comes with the extra `cost`: pip install 'lambda-llm\[cost\]'\.$") as said:
        checked(tmp_path / "cost.svg")
    assert str(said.value).startswith("A picture needs matplotlib")
