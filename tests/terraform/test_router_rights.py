"""What modules/router gives its role of batches is what the code takes: policies as Terraform plans them, evaluated."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambda_llm.batch_store import layout
from lambda_llm.batch_store.batches import Batches
from lambda_llm.batch_store.errors import NoSuchError
from lambda_llm.batch_store.files import Files
from scripts.local_aws import terraform
from scripts.local_aws.server import ACCOUNT, LocalAWS, local_aws
from support.batch_store import ENDS, LINES, RIGHTS, Place
from support.modules import ROOT, TERRAFORM_FROM
from support.policies import PROVIDER

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)
PACKAGE = ROOT / "modules/router/tests/fixtures/function.zip"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with local_aws(tmp_path_factory.mktemp("aws"), strict=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def place(aws: LocalAWS) -> Iterator[Place]:
    """A store, as the account's root user has it."""
    with ExitStack() as stack:
        iam, s3, states = (stack.enter_context(closing(aws.client(each))) for each in ("iam", "s3", "stepfunctions"))
        iam.create_role(RoleName="batch", AssumeRolePolicyDocument=TRUST)
        yield Place(s3, states, ENDS, "a/store/")


def planned(folder: Path, place: Place) -> str:
    """The policy of the function's role, all of which a plan knows if nothing else is made."""
    (folder / "main.tf").write_text(
        PROVIDER
        + f"""
module "router" {{
  source = "{ROOT}//modules/router"

  name          = "router"
  package       = {{ path = "{PACKAGE}" }}
  configuration = {{ s3 = {{ bucket = "my-configurations", key = "router.yaml" }} }}
  budgets       = {{ table = {{ arn = "arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/budgets" }} }}
  batches       = {{ store = "{place.uri}", state_machine_arn = "{place.machine}" }}
}}
""",
        encoding="utf-8",
    )
    terraform.run(folder, "init", "-backend=false")
    terraform.run(folder, "plan", "-out=plan", "-refresh=false", "-lock=false")
    plan = json.loads(terraform.run(folder, "show", "-json", "plan"))
    (module,) = plan["planned_values"]["root_module"]["child_modules"]
    policies: dict[str, str] = {each["address"]: each["values"].get("policy") for each in module["resources"]}
    return policies["module.router.aws_iam_role_policy.function"]


@pytest.fixture(scope="module")
def router(aws: LocalAWS, place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """Clients with the rights of the function."""
    policy = planned(tmp_path_factory.mktemp("plan"), place)
    with ExitStack() as stack:
        iam, sts = (stack.enter_context(closing(aws.client(each))) for each in ("iam", "sts"))
        role = iam.create_role(RoleName="router", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        iam.put_role_policy(RoleName="router", PolicyName="router", PolicyDocument=policy)
        credentials = sts.assume_role(RoleArn=role, RoleSessionName="function")["Credentials"]
        s3, states = (stack.enter_context(closing(aws.client(each, credentials))) for each in ("s3", "stepfunctions"))
        yield s3, states


def test_the_router_may_do_all_that_it_does(place: Place, router: tuple[Any, Any]) -> None:
    files = Files(place.uri, router[0])
    batches = Batches(place.uri, *router, place.machine)
    made = files.create("acme", LINES, "in.jsonl", "batch")
    assert files.list("acme", order="asc") == ([made], False)
    place.put(f"{layout.uploads('acme')}in.jsonl", LINES)
    sources = [made.id, f"{files.uploads('acme')}in.jsonl"]
    created = [
        batches.create("acme", place.request(input_file_id=each, endpoint="/v1/embeddings"), RIGHTS) for each in sources
    ]
    assert {each.id for each in batches.list("acme")[0]} == {each.id for each in created}
    first = created[0].id
    stored = place.batches().read("acme", first)
    assert place.batches().change(stored, stored.record.with_batch(status="in_progress")) is not None
    place.put(layout.Mark(0, 1, 0, 5).key(first))
    assert batches.get("acme", first).request_counts.completed == 1
    assert batches.cancel("acme", first).status == "cancelling"
    with closing(files.open("acme", made.id)) as body:
        assert body.read() == LINES
    files.delete("acme", made.id)
    # What is missing is told from what is forbidden.
    for call, what in ((files.get, made.id), (files.source, sources[1] + "x"), (batches.get, layout.new_batch(1))):
        with pytest.raises(NoSuchError):
            call("acme", what)


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        ("put_object", "configuration.json"),
        ("put_object", f"{layout.uploads('acme')}in.jsonl"),
        ("put_object", layout.piece("batch_1", 0, 0)),
        ("get_object", layout.parts("batch_1")),
        ("delete_object", layout.batch("acme", "batch_1")),
        ("delete_object", layout.stop("batch_1")),
    ],
)
def test_it_may_do_nothing_else(place: Place, router: tuple[Any, Any], operation: str, key: str) -> None:
    place.put(key)
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(router[0], operation)(Bucket=place.bucket, Key=place.prefix + key)


@pytest.mark.parametrize("prefix", ["", "work/", "uploads/", "inbox/"])
def test_it_lists_nothing_else(place: Place, router: tuple[Any, Any], prefix: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        router[0].list_objects_v2(Bucket=place.bucket, Prefix=place.prefix + prefix)
