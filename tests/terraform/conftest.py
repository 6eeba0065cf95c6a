"""Terraform for the tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.local_aws import terraform


@pytest.fixture(scope="session")
def initialized() -> Callable[[Path], Path]:
    """Takes a folder with a configuration; its modules and the provider are there afterwards."""
    done: set[Path] = set()

    def initialize(folder: Path) -> Path:
        if folder not in done:
            terraform.run(folder, "init", "-backend=false")
            done.add(folder)
        return folder

    return initialize
