"""A local AWS on loopback: ministack, in the environment of its own that the bootstrap makes."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from processes import running

ROOT: Final = Path(__file__).parent.parent
MINISTACK: Final = ROOT / ".build/aws-local/bin/ministack"
START_SECONDS: Final = 60


class LocalAWSError(Exception):
    """The local AWS is not there or did not start."""


@dataclass(frozen=True)
class LocalAWS:
    """A running local AWS.

    Attributes:
        endpoint: URL for every service.
        environment: this process's variables, but for AWS's: those point to here, with credentials that mean
            nothing elsewhere.
    """

    endpoint: str
    environment: dict[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of this local AWS; whoever asks for it closes it."""
        session: Any = boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.endpoint)

    def make_bucket(self, name: str) -> None:
        """Make a bucket that keeps versions."""
        with closing(self.client("s3")) as s3:
            s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


@contextmanager
def local_aws(folder: Path) -> Iterator[LocalAWS]:
    """Run a local AWS; it is gone when the context ends, whatever ends it.

    Args:
        folder: an empty one, for its log and whatever it keeps.

    Raises:
        LocalAWSError: it is not installed or did not start.
    """
    if not MINISTACK.exists():
        raise LocalAWSError("The local AWS is not installed: run `make demo` or `make test`, which install it.")
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    own = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(folder), "HOME": str(folder)}
    log = folder / "local-aws.log"
    with (
        log.open("wb") as output,
        # A session of its own: Ctrl-C reaches whoever started it, who then ends it in order.
        running(
            [MINISTACK],
            cwd=folder,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        _wait_until_ready(endpoint, process, log)
        yield LocalAWS(
            endpoint,
            {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            | {
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
            },
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_ready(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(endpoint + "/", timeout=1):  # noqa: S310 - loopback
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise LocalAWSError(f"The local AWS did not start: {' / '.join(said) or 'it said nothing'}")
