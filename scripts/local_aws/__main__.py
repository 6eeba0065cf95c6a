"""Run a local AWS: `python -m scripts.local_aws`, after `make demo` or `make test` has installed it.

Prints the environment variables that point the AWS CLI, `lambda-llm` and Terraform to it, and runs until Ctrl-C. Its
contents are then deleted.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from scripts.local_aws import deployment
from scripts.local_aws.package import LocalPackageError, local_packages
from scripts.local_aws.server import LocalAWS, LocalAWSError, local_aws


def exports(aws: LocalAWS, *, packages: bool) -> dict[str, str]:
    """Return the environment variables that a shell needs to use a local AWS.

    Args:
        aws: the running one.
        packages: build the functions' packages and set Terraform's variables to them.

    Raises:
        LocalPackageError: a package could not be built.
    """
    environment = deployment.variables(aws, local_packages()) if packages else aws.environment
    return {name: value for name, value in sorted(environment.items()) if os.environ.get(name) != value}


def main() -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.local_aws",
        description="Run a local AWS on loopback (S3, IAM, Lambda with SnapStart, …) until Ctrl-C.",
        epilog="Example: python -m scripts.local_aws --strict --packages > aws.env &  . ./aws.env",
    )
    parser.add_argument(
        "--strict", action="store_true", help="evaluate IAM policies, verify signatures and use TLS, as AWS does"
    )
    parser.add_argument(
        "--packages", action="store_true", help="build the functions' packages, and set Terraform's variables to them"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="lambda-llm-aws-") as folder,
            local_aws(Path(folder), strict=given.strict) as aws,
        ):
            for name, value in exports(aws, packages=given.packages).items():
                print(f"export {name}={shlex.quote(value)}")
            print(f"# Listening on {aws.endpoint}; log: {aws.log}. Ctrl-C stops.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except (LocalAWSError, LocalPackageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
