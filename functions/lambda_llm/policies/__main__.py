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
    """Look at Terraform in the current folder, or at what checkov's own arguments name.

    Args:
        arguments: Those of the command line.

    Returns:
        checkov's exit code: 0 when all is well, 1 with findings; 2 when checkov is missing.
    """
    parser = argparse.ArgumentParser(
        prog="policies",
        description="Holds Terraform to what a language model needs on Lambda: runs checkov with the CKV_LLM checks "
        "on HCL and on plans.",
        epilog="Everything else goes to checkov, for example: --directory infrastructure, --file plan.json, "
        "--output sarif --output-file-path results. To run these checks beside checkov's own: "
        'checkov --external-checks-dir "$(… --path)" --directory .',
        allow_abbrev=False,
    )
    parser.add_argument("--path", action="store_true", help="print the folder for checkov's --external-checks-dir")
    options, rest = parser.parse_known_args(arguments)
    if options.path:
        print(CHECKS)  # noqa: T201  # the output that was asked for
        return 0
    # One that was installed together with this Python comes before one that happens to be on PATH.
    checkov = shutil.which("checkov", path=str(Path(sys.executable).parent)) or shutil.which("checkov")
    if checkov is None:
        print(  # noqa: T201  # there is no logger, and a person waits
            "checkov was not found, neither beside this Python nor on PATH. Install it in an environment of its own: "
            "pipx install checkov",
            file=sys.stderr,
        )
        return 2
    if not {"-d", "--directory", "-f", "--file"} & {argument.partition("=")[0] for argument in rest}:
        rest = ["--directory", ".", *rest]
    # Checks come from this folder alone, so nothing needs to be downloaded.
    command = [checkov, "--external-checks-dir", str(CHECKS), "--check", "CKV_LLM_*", "--skip-download"]
    if "--framework" not in rest:
        command += ["--framework", "terraform", "terraform_plan"]
    return subprocess.call([*command, *rest])  # noqa: S603  # the arguments are the user's own


if __name__ == "__main__":
    sys.exit(main())
