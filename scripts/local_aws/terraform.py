"""Terraform or OpenTofu as this project runs it, with one AWS provider for all of its configurations.

`LAMBDA_LLM_TERRAFORM=tofu` selects OpenTofu. With network access there is nothing to prepare. Without, it uses a mirror
of the provider on this machine: the folder in `LAMBDA_LLM_PROVIDER_MIRROR`, or one found below `PLACES`.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from scripts import ROOT

FOLDER: Final = ROOT / ".build/terraform"
PROGRAM: Final = "LAMBDA_LLM_TERRAFORM"
"""Variable with the name or path of the program; by default `terraform`."""

OPENTOFU_REGISTRY: Final = "registry.opentofu.org"
"""Where OpenTofu looks for `hashicorp/aws`, in a mirror too."""

MIRROR: Final = "LAMBDA_LLM_PROVIDER_MIRROR"
PLACES: Final = (Path.home(), Path("/opt"), Path("/usr/local/share"), Path("/usr/share"), Path("/var/lib"))
DEPTH: Final = 2
"""How many folders deep below `PLACES` to look for a mirror."""

MACHINES: Final = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""Terraform's architectures by `platform.machine()`."""

CONFIGURATION: Final = """\
provider_installation {
  filesystem_mirror {
    path    = "%s"
    include = ["hashicorp/aws"]
  }
  direct {
    exclude = ["hashicorp/aws"]
  }
}
"""


class TerraformError(Exception):
    """Terraform is missing or failed; the message includes its output."""


def program() -> str:
    """Return the name or path of the program that is run: Terraform, or what `LAMBDA_LLM_TERRAFORM` names."""
    return os.environ.get(PROGRAM) or "terraform"


def is_opentofu() -> bool:
    """Whether the program is OpenTofu, by its name."""
    return Path(program()).name.startswith("tofu")


def find_mirror(places: tuple[Path, ...] = PLACES) -> Path | None:
    """Find a mirror of the AWS provider, packed as by `terraform providers mirror`, or unpacked.

    Args:
        places: where to look if the environment names none.

    Returns:
        The mirror's folder, or None.

    Raises:
        TerraformError: the folder in the environment is not a mirror for this machine.
    """
    if named := os.environ.get(MIRROR):
        mirror = next(_mirrors(Path(named), 0), None)
        if mirror is None:
            raise TerraformError(
                f"{MIRROR} names {named}, which contains no HOST/hashicorp/aws/VERSION/{platform_name()}: create one "
                "with `terraform providers mirror FOLDER`, or unset it."
            )
        return mirror
    return next((mirror for place in places for depth in range(DEPTH + 1) for mirror in _mirrors(place, depth)), None)


def environment() -> dict[str, str]:
    """Return this process's variables and those that let Terraform find the provider and run without prompts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
    if Path(variables.get("TF_CLI_CONFIG_FILE", "")).is_file():
        return variables  # the user's choice
    variables.pop("TF_CLI_CONFIG_FILE", None)
    if mirror := find_mirror():
        configuration = FOLDER / ("opentofu.tfrc" if is_opentofu() else "mirror.tfrc")
        configuration.write_text(CONFIGURATION % (_for_opentofu(mirror) if is_opentofu() else mirror), encoding="utf-8")
        variables["TF_CLI_CONFIG_FILE"] = str(configuration)
    elif "TF_PLUGIN_CACHE_DIR" not in variables:
        # The provider takes 700 MB unpacked: one copy for all configurations, which have no lock files to break.
        cache = FOLDER / "plugins"
        cache.mkdir(exist_ok=True)
        variables |= {"TF_PLUGIN_CACHE_DIR": str(cache), "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1"}
    return variables


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """Run Terraform in a folder and return its output.

    Args:
        folder: of the configuration.
        arguments: of Terraform.
        variables: further environment variables.

    Raises:
        TerraformError: it is not installed, or failed.
    """
    found = shutil.which(program())
    if found is None:
        raise TerraformError(
            f"{program()} is not installed: get Terraform 1.9 or later from "
            f"https://developer.hashicorp.com/terraform/install, or OpenTofu 1.10 or later and set {PROGRAM}=tofu."
        )
    command: list[Any] = [found, f"-chdir={folder}", *arguments, "-no-color"]
    done = subprocess.run(command, env=environment() | variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TerraformError(f"terraform {' '.join(arguments)} in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _for_opentofu(mirror: Path) -> Path:
    """Lay out the provider of a mirror where OpenTofu looks for it, which follows links of the last level only.

    Args:
        mirror: as `find_mirror` returns it.
    """
    into = FOLDER / "opentofu" / OPENTOFU_REGISTRY / "hashicorp/aws"
    for found in mirror.glob("*/hashicorp/aws/*"):
        provided = (
            [(found.name, found)] if found.is_file() else [(f"{found.name}/{one.name}", one) for one in found.iterdir()]
        )
        for name, provider in provided:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).unlink(missing_ok=True)
            (into / name).symlink_to(provider)
    return FOLDER / "opentofu"


def _mirrors(place: Path, depth: int) -> Iterator[Path]:
    pattern = "/".join(["*"] * (depth + 1)) + f"/hashicorp/aws/*/{platform_name()}"
    try:
        for found in sorted(place.glob(pattern)):
            yield found.parents[4]
        packed = "/".join(["*"] * (depth + 1)) + f"/hashicorp/aws/*_{platform_name()}.zip"
        for found in sorted(place.glob(packed)):
            yield found.parents[3]
    except OSError:
        return  # a folder that this user can't read


def platform_name() -> str:
    """Return this platform as in provider file names: `linux_amd64`."""
    machine = platform.machine()
    return f"{sys.platform}_{MACHINES.get(machine, machine)}"
