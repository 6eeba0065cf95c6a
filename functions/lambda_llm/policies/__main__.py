#!/usr/bin/env python3
"""Runs checkov with these checks: `python functions/lambda_llm/policies [arguments of checkov]`.

Works from a clone, with nothing installed but checkov. .pre-commit-hooks.yaml calls it as a script.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

CHECKS = Path(__file__).resolve().parent / "checks"

SHOWN = 20
"""How many of what could not be judged are named."""

MODULE = "module "
"""How `register` begins the note of a module that is not here."""

HIDDEN = re.compile(r"^\.|^node_modules$")
"""Folders that checkov skips."""


def main(arguments: list[str] | None = None) -> int:
    """Check the Terraform in the current folder, or what checkov's own arguments name.

    Args:
        arguments: Command-line arguments; None for the process's own.

    Returns:
        checkov's exit code: 0 without findings, 1 with; 2 when checkov is missing, or a file can't be checked.
    """
    parser = argparse.ArgumentParser(
        prog="policies",
        description="Checks Terraform for what a language model needs on Lambda: runs checkov with the CKV_LLM checks "
        "on HCL and on plans.",
        epilog="All other arguments go to checkov, for example: --directory infrastructure, --file plan.json, "
        "--output sarif --output-file-path results. To run these checks beside checkov's own: "
        'checkov --external-checks-dir "$(… --path)" --directory .',
        allow_abbrev=False,
    )
    parser.add_argument("--path", action="store_true", help="print the folder for checkov's --external-checks-dir")
    options, rest = parser.parse_known_args(arguments)
    if options.path:
        print(CHECKS)  # noqa: T201  # the requested output
        return 0
    # The checkov of this Python's environment takes precedence over one on PATH.
    checkov = shutil.which("checkov", path=str(Path(sys.executable).parent)) or shutil.which("checkov")
    if checkov is None:
        print(  # noqa: T201  # for the user; there is no logger
            "checkov was not found, neither beside this Python nor on PATH. Install it in an environment of its own: "
            "pipx install checkov",
            file=sys.stderr,
        )
        return 2
    if not {"-d", "--directory", "-f", "--file"} & {argument.partition("=")[0] for argument in rest}:
        rest = ["--directory", ".", *rest]
    if files := sorted(in_json(rest)):
        tell(
            f"{files[0]} is Terraform in JSON, as CDKTF writes it, of which checkov can't tell what belongs together: "
            "it would be left out. Check the plan instead: terraform plan -out plan, terraform show -json plan > "
            "plan.json, then --file plan.json; or leave it out with --skip-path.",
        )
        return 2
    # All checks come from this folder, so nothing needs to be downloaded.
    command = [checkov, "--external-checks-dir", str(CHECKS), "--check", "CKV_LLM_*", "--skip-download"]
    if "--framework" not in rest:
        command += ["--framework", "terraform", "terraform_plan"]
    with TemporaryDirectory(prefix="lambda-llm-policies-") as folder:
        notes = Path(folder) / "unjudged"
        environment = os.environ | {"CKV_LLM_UNJUDGED": str(notes)}
        status = subprocess.call([*command, *rest], env=environment)  # noqa: S603  # the arguments are the user's own
        report(sorted(set(notes.read_text(encoding="utf-8").splitlines())) if notes.exists() else [])
    return status


def in_json(arguments: list[str]) -> Iterator[Path]:
    """Files of Terraform in JSON among what checkov is told to check."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-d", "--directory", action="append", default=[])
    parser.add_argument("-f", "--file", nargs="+", action="extend", default=[])
    parser.add_argument("--skip-path", action="append", default=[])
    options, _ = parser.parse_known_args(arguments)
    skipped = [re.compile(pattern) for pattern in options.skip_path]
    for file in (*map(Path, options.file), *(file for one in options.directory for file in below(Path(one)))):
        if file.name.endswith(".tf.json") and not any(pattern.search(str(file)) for pattern in skipped):
            yield file


def below(folder: Path) -> Iterator[Path]:
    """Files in a folder and in those below it that checkov looks into."""
    for path, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not HIDDEN.search(one)]
        yield from (Path(path, file) for file in files)


def report(notes: list[str]) -> None:
    """Say what could not be judged: without findings it would look as if it were right."""
    modules = [note.removeprefix(MODULE) for note in notes if note.startswith(MODULE)]
    checks = [note for note in notes if not note.startswith(MODULE)]
    if checks:
        tell(f"Checks that could not be judged, because values are not known here: {len(checks)} ({some(checks)}).")
    if modules:
        tell(
            f"Modules that are not here, so that nothing in them was judged: {len(modules)} ({some(modules)}); with "
            "--download-external-modules True, checkov fetches those of git and of registries."
        )
    if notes:
        tell(
            "A plan knows more: terraform plan -out plan, terraform show -json plan > plan.json, then --file "
            "plan.json; what is known after apply, the next plan knows."
        )


def some(notes: list[str]) -> str:
    """The first ones."""
    return ", ".join(notes[:SHOWN]) + (f", and {len(notes) - SHOWN} more" if len(notes) > SHOWN else "")


def tell(text: str) -> None:
    """Print for people; the report of checkov alone is on stdout."""
    print(text, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
