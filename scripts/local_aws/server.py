"""A local AWS on loopback: ministack, in the separate environment that the bootstrap creates."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from scripts import ROOT
from scripts.local_aws.function_url_proxy import function_url_proxy
from scripts.local_aws.processes import running

PYTHON: Final = ROOT / ".build/aws-local/bin/python"
SERVER: Final = Path(__file__).with_name("ministack_server.py")
START_SECONDS: Final = 60

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
"""The account's id, which is also the access key of its root user."""

NAMES: Final = (
    "DNS:localhost",
    "IP:127.0.0.1",
    f"DNS:*.lambda-url.{REGION}.on.aws",
    f"DNS:*.execute-api.{REGION}.amazonaws.com",
)
"""Subject alternative names of its certificate."""


class LocalAWSError(Exception):
    """The local AWS is not installed or did not start."""


@dataclass(frozen=True)
class LocalAWS:
    """A running local AWS.

    Attributes:
        endpoint: URL for every service.
        environment: this process's variables, except AWS's: those point to the local AWS, with credentials valid only
            there.
        log: what it and its functions wrote.
    """

    endpoint: str
    environment: dict[str, str]
    log: Path

    def client(self, service: str, credentials: Mapping[str, str] | None = None) -> Any:
        """Return a boto3 client of this local AWS; the caller closes it.

        Args:
            service: its name.
            credentials: as STS returns them; default: the account's root user, who may do everything.
        """
        keys = credentials or {
            "AccessKeyId": self.environment["AWS_ACCESS_KEY_ID"],
            "SecretAccessKey": self.environment["AWS_SECRET_ACCESS_KEY"],
        }
        session: Any = boto3.Session(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            region_name=REGION,
        )
        return session.client(service, endpoint_url=self.endpoint, verify=self.environment.get("AWS_CA_BUNDLE"))

    def make_bucket(self, name: str) -> None:
        """Create a bucket with versioning."""
        with closing(self.client("s3")) as s3:
            s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


@contextmanager
def local_aws(folder: Path, *, strict: bool = False) -> Iterator[LocalAWS]:
    """Run a local AWS for the duration of the context; it is terminated however the context ends.

    Args:
        folder: an empty one, for its log and data.
        strict: evaluate IAM policies, verify signatures and use TLS, as AWS does (a bucket policy may require TLS),
            and route `https://….lambda-url.REGION.on.aws` to its functions, and
            `https://….execute-api.REGION.amazonaws.com` to its REST APIs.

    Raises:
        LocalAWSError: it is not installed or did not start.
    """
    if not PYTHON.exists():
        raise LocalAWSError("The local AWS is not installed: run `make demo` or `make test`, which install it.")
    port = _free_port()
    # The user may have settings and an AWS account; neither ministack nor its functions may see them.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMBDA_LLM_"))}
    keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "local"}
    own = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "TMPDIR": str(folder), "HOME": str(folder)}
    own["PYTHONPATH"] = str(SERVER.parent)
    trust: dict[str, str] = {}
    if strict:
        certificate, key = _certificate(folder)
        # One variable for each client: the AWS SDKs, Python and curl.
        trust = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(certificate))
        own |= {"AUTH": "true", "USE_SSL": "1", "MINISTACK_SSL_CERT": str(certificate), "MINISTACK_SSL_KEY": str(key)}
    log = folder / "local-aws.log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        process = stack.enter_context(
            # A new session: Ctrl-C reaches only this process, which then terminates ministack.
            running(
                [PYTHON, SERVER],
                cwd=folder,
                env=plain | keys | own | trust,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        )
        _wait_until_ready(port, process, log)
        endpoint = f"{'https' if strict else 'http'}://127.0.0.1:{port}"
        if strict:
            proxy = stack.enter_context(function_url_proxy(port))
            trust |= {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost"}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        here = {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }
        yield LocalAWS(endpoint, outside | here | keys | trust, log)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Create a certificate for `NAMES`; returns its file and its key's."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise LocalAWSError("openssl is missing: install it, as it creates the local AWS's certificate.")
    certificate, key = folder / "local-aws.crt", folder / "local-aws.key"
    command: list[str | Path] = [openssl, "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=local AWS"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", certificate]
    command += ["-addext", f"subjectAltName={','.join(NAMES)}", "-addext", "basicConstraints=critical,CA:FALSE"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalAWSError(f"openssl could not create the local AWS's certificate: {done.stderr.strip()[-300:]}")
    return certificate, key


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    output = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise LocalAWSError(f"The local AWS did not start: {' / '.join(output) or 'it printed nothing'}")
