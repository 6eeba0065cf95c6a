#!/usr/bin/env python3
"""Runs checkov with these checks: `python functions/lambda_llm/policies [arguments of checkov]`.

Works from a clone, with nothing installed but checkov. .pre-commit-hooks.yaml calls it as a script.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).resolve().parent / "checks"


def main(arguments: list[str] | None = None) -> int:
    """Check the Terraform in the current folder, or what checkov's own arguments name.

    Args:
        arguments: Command-line arguments; None for the process's own.

    Returns:
        checkov's exit code: 0 without findings, 1 with; 2 when checkov is missing.
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
    # All checks come from this folder, so nothing needs to be downloaded.
    command = [checkov, "--external-checks-dir", str(CHECKS), "--check", "CKV_LLM_*", "--skip-download"]
    if "--framework" not in rest:
        command += ["--framework", "terraform", "terraform_plan"]
    return subprocess.call([*command, *rest])  # noqa: S603  # the arguments are the user's own


if __name__ == "__main__":
    sys.exit(main())
