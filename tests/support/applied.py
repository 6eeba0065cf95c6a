"""Examples applied by Terraform on a local AWS of their own, which evaluates IAM, checks signatures and speaks TLS.

pytest-terraform initializes, applies and destroys an example for a test module:

    from support.applied import terraform

    pytestmark = pytest.mark.usefixtures("applied")

    @terraform("chat", scope="module")
    def test_…(chat, applied): ...

It destroys everything when an apply fails, and knows no second apply with other variables; `Applied.run` does.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
import psutil
import pytest
import pytest_terraform
from botocore.exceptions import ClientError
from openai import OpenAI
from pytest_terraform import tf

from lambda_llm.aws.function_url import function_url_auth
from scripts.local_aws import deployment
from scripts.local_aws.package import local_packages
from scripts.local_aws.server import LocalAWS, local_aws
from support.answers import QUESTION, user
from support.modules import ROOT, adapt
from support.servers import LIMIT_SECONDS

Test = TypeVar("Test", bound=Callable[..., None])


class Terraform(Protocol):
    """The decorator of pytest-terraform, which has no types."""

    def __call__(self, folder: str, /, *, scope: str, name: str | None = None) -> Callable[[Test], Test]:
        """Have an example applied for a test: its folder, for how long, and the name of the fixture if another."""


terraform: Terraform = pytest_terraform.terraform
"""The plugin's own object, not a function around it: it leaves the fixture in the module that calls it."""

TERRAFORM_S_HOSTS = "registry.terraform.io,releases.hashicorp.com,github.com"
"""What it downloads the provider from, where there is no mirror: not through the local AWS's proxy."""


@dataclass
class Applied:
    """A local AWS, and a copy of the repository whose examples are applied on it."""

    aws: LocalAWS
    folder: Path

    def run(self, applied: Any, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform on the state of an example that pytest-terraform has applied.

        Args:
            applied: the example's fixture.
            arguments: of Terraform.
            variables: values of the example's variables.
        """
        runner = applied.terraform
        given = {f"TF_VAR_{name}": value for name, value in variables.items()}
        return subprocess.run(
            [runner.tf_bin, *arguments, "-no-color", "-input=false", f"-state={runner.state_path}"],
            cwd=runner.module_dir,
            env={**os.environ, **given, "TF_DATA_DIR": runner.work_dir},
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self, applied: Any) -> dict[str, Any]:
        """An example's outputs as they are now."""
        state = json.loads(Path(applied.terraform.state_path).read_bytes())
        return {name: output["value"] for name, output in state["outputs"].items()}

    def changes(self, applied: Any, **variables: str) -> list[str]:
        """What a plan would change: an address and what would happen to it each; reading is no change."""
        planned = self.run(applied, "plan", f"-out={self.folder / 'again.plan'}", **variables)
        assert planned.returncode == 0, planned.stdout + planned.stderr
        runner = applied.terraform
        shown = subprocess.run(
            [runner.tf_bin, "show", "-json", self.folder / "again.plan"],
            cwd=runner.module_dir,
            env={**os.environ, "TF_DATA_DIR": runner.work_dir},
            capture_output=True,
            check=True,
        )
        return [
            f"{change['address']}: {' '.join(change['change']['actions'])}"
            for change in json.loads(shown.stdout).get("resource_changes", [])
            if change["change"]["actions"] not in (["no-op"], ["read"])
        ]

    def push(self, file: Path, to: str, example: str, name: str = "model.json") -> dict[str, Any]:
        """Push a model as a person does, and put what is printed beside the example."""
        command = ["lambda-llm", "push", str(file), to, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment)
        assert done.returncode == 0, done.stderr
        (self.folder / "examples" / example / name).write_text(done.stdout)
        pushed: dict[str, Any] = json.loads(done.stdout)
        return pushed

    @property
    def environment(self) -> dict[str, str]:
        """A person's shell: this environment's programs, and this AWS."""
        return {**self.aws.environment, "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}

    def log(self, group: str) -> str:
        """All of a function's log."""
        with closing(self.aws.client("logs")) as logs:
            return "\n".join(event["message"] for event in logs.filter_log_events(logGroupName=group)["events"])

    def processes(self, function: str) -> list[dict[str, str]]:
        """The environment variables of the processes that run a function now, and their `PID`."""
        found = []
        for process in psutil.process_iter():
            try:
                variables = process.environ()
            except psutil.Error:
                continue
            if (
                variables.get("AWS_LAMBDA_FUNCTION_NAME") == function
                and str(self.aws.log.parent) in variables["TMPDIR"]
            ):
                found.append({**variables, "PID": str(process.pid)})
        return found

    def memory_maps(self, function: str) -> list[str]:
        """What the processes that run a function now have in their memory."""
        found = []
        for process in self.processes(function):
            with suppress(OSError):  # it ended meanwhile
                found.append(Path(f"/proc/{process['PID']}/maps").read_text())
        return found

    def role_credentials(self, function: str) -> dict[str, str]:
        """The credentials that the function itself has: those of its role."""
        variables = self.processes(function)[0]
        return {
            "AccessKeyId": variables["AWS_ACCESS_KEY_ID"],
            "SecretAccessKey": variables["AWS_SECRET_ACCESS_KEY"],
            "SessionToken": variables["AWS_SESSION_TOKEN"],
        }

    def leftovers(self) -> dict[str, Any]:
        """What is in the account, by kind; what is empty is left out."""
        listed = {
            "buckets": ("s3", "list_buckets", "Buckets"),
            "functions": ("lambda", "list_functions", "Functions"),
            "roles": ("iam", "list_roles", "Roles"),
            "policies": ("iam", "list_policies", "Policies"),
            "log groups": ("logs", "describe_log_groups", "logGroups"),
            "schedules": ("scheduler", "list_schedules", "Schedules"),
            "tables": ("dynamodb", "list_tables", "TableNames"),
            "APIs": ("apigateway", "get_rest_apis", "items"),
            "API keys": ("apigateway", "get_api_keys", "items"),
            "usage plans": ("apigateway", "get_usage_plans", "items"),
        }
        found = {}
        for kind, (service, operation, field) in listed.items():
            arguments = {"Scope": "Local"} if kind == "policies" else {}
            with closing(self.aws.client(service)) as client:
                found[kind] = getattr(client, operation)(**arguments)[field]
        return {kind: things for kind, things in found.items() if things}


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    """A local AWS of the module's own; everything that this process starts talks to it."""
    folder = deployment.checkout(tmp_path_factory.mktemp("checkout"))
    adapt(folder)
    packages = local_packages()
    with (
        local_aws(tmp_path_factory.mktemp("aws"), strict=True) as aws,
        pytest.MonkeyPatch.context() as patched,
    ):
        for name in [each for each in os.environ if each.startswith(("AWS_", "TF_"))]:
            patched.delenv(name)
        for name, value in deployment.variables(aws, packages).items():
            patched.setenv(name, value)
        patched.setenv("NO_PROXY", f"{aws.environment['NO_PROXY']},{TERRAFORM_S_HOSTS}")
        patched.setattr(tf.LazyModuleDir, "value", str(folder / "examples"))
        yield Applied(aws, folder)


def event(method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
    """An invocation's payload, as a Function URL makes it."""
    return json.dumps(
        {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"content-type": "application/json", "host": "localhost"},
            "requestContext": {"http": {"method": method, "path": path, "sourceIp": "192.0.2.1"}},
            "isBase64Encoded": False,
            **({} if body is None else {"body": json.dumps(body)}),
        }
    ).encode()


def asked_by_invoke(aws: LocalAWS, alias_arn: str) -> str:
    """The answer to the question, by invoking the alias."""
    request = {"model": "lambda-llm-demo", "messages": [user(QUESTION)], "temperature": 0}
    with closing(aws.client("lambda")) as client:
        answered = client.invoke(FunctionName=alias_arn, Payload=event("POST", "/v1/chat/completions", request))
        assert "FunctionError" not in answered
        answer = json.loads(answered["Payload"].read())
    assert answer["statusCode"] == 200, answer
    return str(json.loads(answer["body"])["choices"][0]["message"]["content"])


def client_of(url: str) -> OpenAI:
    """The official client at a Function URL, with nothing changed but the signature."""
    return OpenAI(base_url=f"{url}v1", api_key="unused", http_client=httpx2.Client(auth=function_url_auth(url)))


def asked_by_url(url: str) -> str:
    """The answer to the question, streamed through the Function URL."""
    with client_of(url) as client:
        stream = client.chat.completions.create(
            model=client.models.list().data[0].id,
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0,
            stream=True,
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def health(url: str) -> dict[str, Any]:
    """What the function says of itself, through its Function URL."""
    with httpx2.Client(auth=function_url_auth(url), timeout=LIMIT_SECONDS) as client:
        answer: dict[str, Any] = client.get(f"{url}health").raise_for_status().json()
        return answer


def refusal(client: Any, operation: str, **arguments: Any) -> str:
    """The code with which an operation is refused; empty when it is allowed."""
    try:
        getattr(client, operation)(**arguments)
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        # A HEAD's refusal has no body to name it.
        return "AccessDenied" if code == "403" else code
    return ""
