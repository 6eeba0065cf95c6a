"""`lambda-llm versions` over Lambda's protocol."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from botocore.stub import Stubber

from lambda_llm.aws import clients
from lambda_llm.aws.function_versions import named
from lambda_llm.cost import prices
from scripts import ROOT
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS
from scripts.local_aws.server import local_aws as local_aws_process
from support.command_line import Run
from support.servers import until

ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
MONTH = 0.0000015046 * 730 * 3600
"""What a GB of a snapshot costs in a month, by hand."""


def code(number: int) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("code.py", f"def handle(event, context):\n    return {number}\n")
    return written.getvalue()


@pytest.fixture(scope="module")
def lambdas(local_aws: LocalAWS) -> Iterator[Any]:
    """A client of Lambda."""
    with closing(local_aws.client("lambda")) as client:
        yield client


@pytest.fixture(autouse=True)
def _here(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


class Made:
    """A function that a test has."""

    def __init__(self, client: Any, *, memory_mb: int = 10_240, snapstart: bool = True) -> None:
        self.name = f"versions-{uuid4().hex[:12]}"
        self._client = client
        client.create_function(
            FunctionName=self.name,
            Role=ROLE,
            Runtime="python3.13",
            Handler="code.handle",
            Code={"ZipFile": code(0)},
            MemorySize=memory_mb,
            SnapStart={"ApplyOn": "PublishedVersions" if snapstart else "None"},
        )

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            self._client.update_function_code(FunctionName=self.name, ZipFile=code(number), Publish=True)
        until(lambda: all(one.get("State", "Active") == "Active" for one in self._listed()))

    def alias(self, name: str, version: str, **weights: float) -> None:
        routing = {"AdditionalVersionWeights": {number.removeprefix("v"): share for number, share in weights.items()}}
        self._client.create_alias(FunctionName=self.name, Name=name, FunctionVersion=version, RoutingConfig=routing)

    def there(self) -> list[str]:
        """The versions that Lambda has."""
        return [one["Version"] for one in self._listed() if one["Version"] != "$LATEST"]

    def _listed(self) -> list[Any]:
        pages = self._client.get_paginator("list_versions_by_function").paginate(FunctionName=self.name)
        return [one for page in pages for one in page["Versions"]]


@pytest.fixture
def made(lambdas: Any) -> Iterator[Made]:
    """Five versions: `live` has the second, and a tenth of its requests the fourth."""
    function = Made(lambdas)
    function.publish(1, 2, 3, 4, 5)
    function.alias("live", "2", v4=0.1)
    yield function
    lambdas.delete_function(FunctionName=function.name)


def read(run: Run, *arguments: str) -> Any:
    told = run("versions", *arguments, "--json")
    assert told.status == 0, told.err
    return json.loads(told.out)


def test_the_table_says_what_exists_since_when_and_who_points_at_it(run: Run, made: Made, lambdas: Any) -> None:
    lambdas.create_function_url_config(FunctionName=made.name, Qualifier="live", AuthType="AWS_IAM")
    lambdas.create_function_url_config(FunctionName=made.name, AuthType="AWS_IAM")
    told = run("versions", made.name)
    assert told.status == 0, told.err
    head, titles, *rows, latest = told.out.splitlines()
    # 5 versions of 10 GB: 5 * 39.54; each is seconds old, and three hours are billed: 5 * 0.0000015046 * 10 * 10,800.
    assert head == f"{made.name}: 5 versions, $197.70 a month, $0.81 so far."
    assert " ".join(titles.split()) == "version since memory package state a month so far who points at it"
    assert len(rows) == 5
    first, second, _, fourth, fifth = rows
    assert first.split()[0] == "1"
    assert "10,240 MB" in first
    assert first.split()[-1] == "nobody"
    assert "Active" in first
    assert "$39.54" in first
    assert "$0.16" in first
    assert second.rstrip().endswith("live 90%, Function URL (live)")
    assert fourth.rstrip().endswith("live 10%, Function URL (live)")
    assert fifth.rstrip().endswith("the newest")
    assert latest == "$LATEST: Function URL"


def test_json_has_numbers_and_every_pointer(run: Run, made: Made, lambdas: Any) -> None:
    arn = lambdas.get_function_configuration(FunctionName=made.name)["FunctionArn"]
    data = read(run, arn)
    (function,) = data["functions"]
    assert (function["name"], function["arn"]) == (made.name, arn)
    assert data["month"] == function["month"] == pytest.approx(5 * 10 * MONTH)
    second = function["versions"][1]
    assert second["pointers"] == [{"kind": "alias", "name": "live", "alias": None, "weight": pytest.approx(0.9)}]
    assert {"version": "2", "memory_mb": 10_240, "state": "Active", "snapshot": True, "newest": False}.items() <= (
        second.items()
    )
    assert second["so_far"] == pytest.approx(prices.SNAPSTART_CACHE_GB_SECOND * 10 * 3 * 3600)
    assert "prune" not in function


def test_a_dry_run_deletes_nothing_and_says_what_it_would_save(run: Run, made: Made) -> None:
    told = run("versions", made.name, "--prune")
    assert told.status == 0, told.err
    assert told.out.splitlines()[-1] == "Would delete 1, 3, which saves $79.08 a month; --prune --yes does it."
    assert "can't be seen" in told.err
    assert made.there() == ["1", "2", "3", "4", "5"]
    assert read(run, made.name, "--prune", "--keep-newest", "3")["functions"][0]["prune"]["deleted"] == ["1"]
    assert made.there() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("option", ["--yes", "--delete"])
def test_exactly_what_is_unused_is_deleted(run: Run, made: Made, option: str) -> None:
    told = read(run, made.name, "--prune", option)["functions"][0]["prune"]
    assert told == {
        "dry_run": False,
        "saves_month": pytest.approx(2 * 10 * MONTH),
        "deleted": ["1", "3"],
        "kept": ["2", "4", "5"],
    }
    assert made.there() == ["2", "4", "5"]
    again = run("versions", made.name, "--prune", option)
    assert again.out.splitlines()[-1] == "There is nothing to delete."


def test_what_an_event_source_or_provisioned_concurrency_has_stays(run: Run, made: Made, lambdas: Any) -> None:
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{made.name}"
    mapping = lambdas.create_event_source_mapping(FunctionName=f"{made.name}:1", EventSourceArn=queue)
    lambdas.put_provisioned_concurrency_config(FunctionName=made.name, Qualifier="3", ProvisionedConcurrentExecutions=7)
    try:
        function = read(run, made.name, "--prune", "--yes")["functions"][0]
    finally:
        lambdas.delete_event_source_mapping(UUID=mapping["UUID"])
    assert made.there() == ["1", "2", "3", "4", "5"]
    pointers = {one["version"]: one["pointers"] for one in function["versions"]}
    assert [(one["kind"], one["name"]) for one in pointers["1"]] == [("event_source_mapping", queue)]
    assert [(one["kind"], one["name"]) for one in pointers["3"]] == [("provisioned_concurrency", "7")]


def test_a_version_to_which_the_alias_moves_meanwhile_stays(
    run: Run, made: Made, lambdas: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = clients.create

    def create_watched(*arguments: Any, **options: Any) -> Any:
        client = create(*arguments, **options)

        def move(**_: Any) -> None:
            lambdas.update_alias(FunctionName=made.name, Name="live", FunctionVersion="3")

        client.meta.events.register("before-call.lambda.DeleteFunction", move)
        return client

    monkeypatch.setattr(clients, "create", create_watched)
    told = read(run, made.name, "--prune", "--yes")["functions"][0]["prune"]
    assert told["deleted"] == ["1"]
    assert made.there() == ["2", "3", "4", "5"]


def test_a_function_of_150_versions_is_listed_whole(run: Run, lambdas: Any) -> None:
    """All but two are without SnapStart, cost nothing, and are of three pages."""
    function = Made(lambdas, memory_mb=512, snapstart=False)
    function.publish(*range(1, 149))
    lambdas.update_function_configuration(FunctionName=function.name, SnapStart={"ApplyOn": "PublishedVersions"})
    function.publish(149, 150)
    function.alias("live", "7")
    told = run("versions", function.name)
    # 2 versions of half a GB: 2 * 0.5 * 3.954.
    assert told.out.startswith(f"{function.name}: 150 versions, $3.95 a month, ")
    assert len(told.out.splitlines()) == 152
    assert told.out.splitlines()[3].split()[-3:] == ["-", "-", "nobody"]
    assert read(run, function.name, "--prune", "--yes", "--keep-newest", "2")["functions"][0]["prune"]["kept"] == [
        "7",
        "149",
        "150",
    ]
    assert function.there() == ["7", "149", "150"]
    lambdas.delete_function(FunctionName=function.name)


def test_all_are_those_with_snapstart(run: Run, made: Made, lambdas: Any) -> None:
    plain = Made(lambdas, snapstart=False)
    data = read(run, "--all", "--region", REGION)
    names = [function["name"] for function in data["functions"]]
    assert made.name in names
    assert plain.name not in names
    assert data["month"] == pytest.approx(sum(function["month"] for function in data["functions"]))
    two = run("versions", made.name, plain.name)
    assert f"{plain.name}: 0 versions, $0.00 a month" in two.out
    assert two.out.splitlines()[-1] == "All of them: $197.70 a month."
    lambdas.delete_function(FunctionName=plain.name)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """A local AWS that evaluates policies."""
    with local_aws_process(tmp_path_factory.mktemp("strict"), strict=True) as aws:
        yield aws


def test_the_documented_policy_is_enough_and_no_more_than_needed(
    run: Run, strict: LocalAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each action that is left out is missed, by its name."""
    document = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```json\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    with closing(strict.client("lambda")) as lambdas, closing(strict.client("iam")) as iam:
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName="any", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
        made = Made(lambdas)
        made.publish(1, 2)
        arn = lambdas.get_function_configuration(FunctionName=made.name)["FunctionArn"]
        policy = json.loads(text.replace("FUNCTION", arn))
        iam.create_user(UserName="person")
        key = iam.create_access_key(UserName="person")["AccessKey"]
        for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
            monkeypatch.setenv(name, strict.environment[name])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

        def allow(without: str = "") -> None:
            statements = []
            for statement in policy["Statement"]:
                actions = [each for each in [statement["Action"]] if isinstance(each, str)] or statement["Action"]
                kept = [each for each in actions if each != without]
                statements += [{**statement, "Action": kept}] if kept else []
            document = json.dumps({"Version": policy["Version"], "Statement": statements})
            iam.put_user_policy(UserName="person", PolicyName="versions", PolicyDocument=document)

        needed = {"ListVersionsByFunction", "ListAliases", "ListFunctionUrlConfigs", "ListEventSourceMappings"}
        for action in (*sorted(needed), "ListProvisionedConcurrencyConfigs", "DeleteFunction"):
            allow(without=f"lambda:{action}")
            told = run("versions", arn, "--prune", "--yes")
            assert told.status == 1, action
            assert f"you need lambda:{action}" in told.err
            assert made.there() == ["1", "2"]
        allow(without="lambda:DeleteFunction")
        assert run("versions", arn, "--prune").status == 0
        allow()
        assert read(run, arn, "--prune", "--yes")["functions"][0]["prune"]["deleted"] == ["1"]
        assert [each["name"] for each in read(run, "--all")["functions"]] == [made.name]


def stub(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Stubber], None]) -> None:
    create = clients.create

    def create_stubbed(*arguments: Any, **options: Any) -> Any:
        client = create(*arguments, **options)
        stubber = Stubber(client)
        stubber.add_response("list_event_source_mappings", {"EventSourceMappings": []})
        answer(stubber)
        stubber.activate()
        return client

    monkeypatch.setattr(clients, "create", create_stubbed)


def listed(number: str, **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:chat:{number}"
    since = "2026-11-01T00:00:00.000+0000"
    item = {
        "FunctionName": "chat",
        "FunctionArn": arn,
        "Version": number,
        "LastModified": since,
        "Runtime": "python3.13",
    }
    return {**item, "MemorySize": 1024, "CodeSize": 2048, "SnapStart": {"ApplyOn": "PublishedVersions"}, **more}


def test_state_that_a_list_leaves_out_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS's lists do. What failed, what nobody used and what runs Java has no snapshot to pay for."""

    def answer(stubber: Stubber) -> None:
        items = [listed("$LATEST"), listed("1"), listed("2"), listed("3", Runtime="java21"), listed("4")]
        stubber.add_response("list_versions_by_function", {"Versions": items})
        stubber.add_response("list_aliases", {"Aliases": []})
        stubber.add_response("list_function_url_configs", {"FunctionUrlConfigs": []})
        stubber.add_response("list_provisioned_concurrency_configs", {"ProvisionedConcurrencyConfigs": []})
        failed = {"State": "Failed", "StateReason": "The function returned an error"}
        java = {"State": "Active", "Runtime": "java21"}
        states = {"1": failed, "2": {"State": "Active"}, "3": java, "4": {"State": "Inactive"}}
        for item, state in states.items():
            stubber.add_response("get_function_configuration", listed(item, **state))

    stub(monkeypatch, answer)
    first, second, third, fourth = read(run, "chat")["functions"][0]["versions"]
    assert (first["state"], first["month"]) == ("Failed: The function returned an error", 0)
    assert second["month"] == pytest.approx(MONTH)
    assert (third["snapshot"], third["so_far"]) == (False, 0)
    assert (fourth["state"], fourth["month"]) == ("Inactive", 0)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDeniedException", "you need lambda:ListVersionsByFunction"),
        ("TooManyRequestsException", "wait a minute and run it again"),
        ("ServiceException", "check your credentials and the region"),
    ],
)
def test_what_lambda_refuses_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch, code: str, remedy: str) -> None:
    stub(monkeypatch, lambda stubber: stubber.add_client_error("list_versions_by_function", code, "No", 400))
    told = run("versions", "chat")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("Error: The versions of chat are not known")
    assert remedy in told.err
    assert len(told.err.splitlines()) == 1


def test_a_function_that_is_none_is_told(run: Run) -> None:
    told = run("versions", "no-such-function")
    assert told.status == 1
    assert "ResourceNotFoundException" in told.err
    assert "check its name and the region" in told.err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--prune"], 2, "name at least one function"),
        (["chat", "--all"], 2, "name at least one function"),
        (["chat", "--yes"], 2, "--yes deletes with --prune only"),
        (["chat", "--prune", "--keep-newest", "0"], 2, "--keep-newest"),
        (["chat:7"], 1, "'chat:7' is no function"),
        (["s3://bucket/key"], 1, "is no function"),
        ([f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:chat", "--region", REGION], 1, "leave --region out"),
    ],
)
def test_what_can_t_be_meant_is_refused(run: Run, arguments: list[str], status: int, says: str) -> None:
    told = run("versions", *arguments)
    assert told.status == status
    assert says in " ".join(told.err.replace("│", " ").split())


def test_without_a_region_it_says_how_to_give_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    told = run("versions", "chat")
    assert told.status == 1
    assert "give --region, or set AWS_DEFAULT_REGION" in told.err


def test_without_credentials_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    told = run("versions", "chat")
    assert told.status == 1
    assert "Unable to locate credentials" in told.err
    assert "check your credentials" in told.err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("chat", ("chat", None)),
        (f"{ACCOUNT}:function:chat", ("chat", None)),
        (f"arn:aws-cn:lambda:cn-north-1:{ACCOUNT}:function:chat", ("chat", "cn-north-1")),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:chat:live", None),
        ("", None),
    ],
)
def test_functions_are_named_as_lambda_does(given: str, expected: tuple[str, str | None] | None) -> None:
    assert named(given) == expected
