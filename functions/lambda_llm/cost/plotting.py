"""Pictures as files: SVG that follows a page into its dark mode and prints black on white, or PNG on white."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lambda_llm.errors import LambdaLLMError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES: Final = (".svg", ".png")

INK: Final = "#22252a"
FAINT: Final = "#b6bcc6"
PAPER: Final = "#ffffff"
"""Colours of letters, of grid and frame, and of the background; in dark mode each has another one."""

_DARK: Final = {INK: "#e4e7ec", FAINT: "#4a505a", PAPER: "#16181c"}


class PictureError(LambdaLLMError):
    """A picture can't be drawn, or not written."""


def checked(path: Path) -> Path:
    """Refuse a file that can't be drawn, before anything is computed.

    Raises:
        PictureError: another kind of file is wanted, its folder does not exist, or matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise PictureError(f"{path} can't be drawn: name a file that ends in {' or '.join(SUFFIXES)}.")
    if not path.parent.is_dir():
        raise PictureError(f"{path.parent} is no folder: create it, or name a file elsewhere.")
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, slow to import
    except ModuleNotFoundError as error:
        raise PictureError(
            f"A picture needs {error.name}, which comes with the extra `cost`: pip install 'lambda-llm[cost]'."
        ) from error
    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "lambda-llm",  # the same picture from the same numbers
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "figure.facecolor": PAPER,
            "axes.facecolor": PAPER,
            "legend.facecolor": PAPER,
            "legend.edgecolor": FAINT,
            "axes.edgecolor": FAINT,
            "grid.color": FAINT,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )
    return path


def save(figure: "Figure", path: Path) -> None:
    """Write a picture; what it is goes by the file's suffix.

    Raises:
        PictureError: the file can't be written.
    """
    # The layout's solver differs in the last digit from time to time, which an SVG would show.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(edge, 4) for edge in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))
    picture = io.BytesIO()
    if path.suffix == ".svg":
        figure.savefig(picture, format="svg", metadata={"Date": None})
        written = _following(picture.getvalue().decode()).encode()
    else:
        figure.savefig(picture, format="png", dpi=120)
        written = picture.getvalue()
    try:
        path.write_bytes(written)
    except OSError as error:
        raise PictureError(f"{path} can't be written ({error.strerror}): name a file elsewhere.") from error


def _following(svg: str) -> str:
    """With a style that replaces our colours where the page is dark; what knows no styles shows the light ones."""
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in _DARK.items()
        for what in ("fill", "stroke")
    )
    style = f"<style>@media screen and (prefers-color-scheme: dark){{{rules}}}</style>"
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + style + svg[start:]
