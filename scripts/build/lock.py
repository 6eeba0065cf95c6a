"""Pin every package that a set-up installs, with its hashes, from the lists in pyproject.toml.

    make lock

Writes requirements/*.txt. They name no package index: pip uses the one it is configured with.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from scripts import ROOT

FOLDER = Path("requirements")

# Only from its source package, which scripts/build/bootstrap.py unpacks once and builds.
NATIVE = "llama-cpp-python"

EXTRAS = ("agent", "authorizer-jwt", "batch", "documents", "inference", "router")
"""Extras of the functions; see `lambda_llm.packaging.functions`."""

VENDORS = ("agent-blaxel", "agent-e2b")
"""Extras that no zip has unless its owner adds them; their SDKs are tested against loopback servers."""

COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--upgrade"),
    *("--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url"),
)


def lock(uv: str) -> None:
    """Resolve and write every lock.

    Args:
        uv: path of uv.
    """
    everything = FOLDER / "dev.txt"
    subsets = {everything: [*_extras("cli", "cost", *VENDORS), "--group", "dev"], FOLDER / "cli.txt": _extras("cli")}
    # For the functions' zips, each of which gets what its modules import.
    subsets[FOLDER / "functions.txt"] = _extras(*EXTRAS)
    for path, choice in subsets.items():
        same_versions = [] if path == everything else ["--constraints", str(everything)]
        _compile(uv, path, "pyproject.toml", *choice, *same_versions, "--no-emit-package", NATIVE)
    for group in ("aws-local", "build", "checkov", "compiler", "frameworks", "strands", "lock"):
        _compile(uv, FOLDER / f"{group}.txt", "--group", group)
    _compile(uv, FOLDER / "llama.txt", "-", "--no-deps", "--no-binary", NATIVE, stdin=NATIVE)


def _extras(*names: str) -> list[str]:
    return [word for name in names for word in ("--extra", name)]


def _compile(uv: str, path: Path, *arguments: str, stdin: str = "") -> None:
    command = [uv, *COMPILE, *arguments, "--output-file", str(path)]
    subprocess.run(command, cwd=ROOT, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)
    print(f"  {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pin every package of a set-up; run it as `make lock`.")
    parser.add_argument("--uv", required=True, help="path of uv")
    lock(parser.parse_args().uv)
