"""A function's zip, built by `lambda-llm package`."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("lambda-llm")


@dataclass(frozen=True)
class Package:
    """A built zip, what the command said of it, and its manifest."""

    zip: Path
    said: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        """As Terraform reads it: from beside the zip."""
        manifest: dict[str, Any] = json.loads(self.zip.with_suffix(".manifest.json").read_bytes())
        return manifest


Build = Callable[..., Package]
"""Takes the zip's path, the function's name, further options, and whatever `subprocess.run` takes."""


def build_package(output: Path, function: str = "inference", *options: str | Path, **changes: Any) -> Package:
    """Run `lambda-llm package` for one function; llama.cpp stays in .build and is compiled only once."""
    command: list[str | Path] = [COMMAND, "package", "--function", function, *options, "--output", output, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **changes)
    assert done.returncode == 0, done.stderr
    return Package(output, json.loads(done.stdout)[function])
