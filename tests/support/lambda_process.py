"""A function's zip under Lambda's own Python runtime client, and credentials of a role for it."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from lambda_llm.packaging.functions import FUNCTIONS
from scripts.local_aws.server import ACCOUNT, LocalAWS
from support.package import build_package
from support.runtime_api import Report, RuntimeAPI
from support.servers import until


class Environment:
    """One environment of a function."""

    def __init__(self, api: RuntimeAPI, log: Path) -> None:
        self._api, self._log = api, log

    def __call__(self, event: Any, **more: float) -> Any:
        """What the function returns for an event; `deadline` as in `RuntimeAPI.invoke`."""
        report = self.report(event, **more)
        assert report.path == "/invocation/id-1/response", report.body
        return report.body

    def report(self, event: Any, **more: float) -> Report:
        """What the runtime client reports of an event: a response or an error."""
        return self._api.invoke(event, **more)

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self._log.read_text()


def unpacked(folder: Path, function: str) -> Path:
    """A function's zip, unpacked as Lambda does it."""
    with zipfile.ZipFile(build_package(folder / f"{function}.zip", function).zip) as opened:
        opened.extractall(folder / "task")
    return folder / "task"


@contextmanager
def running(folder: Path, task: Path | None, function: str, environment: Mapping[str, str]) -> Iterator[Environment]:
    """Run a function: an unpacked one, or as it is installed here."""
    lambda_s = {"AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}
    path = {} if task is None else {"PYTHONPATH": str(task)}
    log = folder / "log"
    with (
        RuntimeAPI() as api,
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", FUNCTIONS[function].handler],
            env={**environment, **lambda_s, "AWS_LAMBDA_RUNTIME_API": api.address, **path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            until(lambda: api.asked_for_events.is_set() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield Environment(api, log)
        finally:
            process.kill()


def role(aws: LocalAWS, statements: Sequence[tuple[Sequence[str], str]]) -> dict[str, str]:
    """Credentials of a role that may do the actions with the resource of each, and nothing else, as variables."""
    name = f"role-{uuid4().hex}"
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    allows = [{"Effect": "Allow", "Action": list(actions), "Resource": resource} for actions, resource in statements]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allows})
    with closing(aws.client("iam")) as iam, closing(aws.client("sts")) as sts:
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy)
        given = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return aws.environment | {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def zipped(path: Path, code: str) -> bytes:
    """A zip with `code.py`, for a function whose handler is `code.handle`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("code.py", code)
    return path.read_bytes()
