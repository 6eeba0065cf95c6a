"""The command line `lambda-llm`; one file per command."""

import sys


def main() -> None:
    """Run the command line, or exit with one sentence where the extra `cli` is not installed."""
    try:
        from lambda_llm.cli.app import run
    except ModuleNotFoundError as error:
        sys.exit(
            f"Error: The command line needs {error.name}, which comes with the extra `cli` of this package: install it."
        )
    run()
