"""`lambda-llm tenant erase` over S3's and DynamoDB's protocols."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from lambda_llm.agent.store import S3Store
from lambda_llm.aws.s3_objects import S3Objects
from lambda_llm.aws.tenant_folder import tenant_folder
from lambda_llm.batch_store import layout
from lambda_llm.cli import tenant as command
from lambda_llm.router.budget import Amount, Limits
from lambda_llm.router.ledger import Ledger
from lambda_llm.router.results import Job, Results, Stored
from lambda_llm.router.results import Run as Attempt
from scripts.local_aws.server import LocalAWS
from support.budgets import make_table
from support.command_line import Run

NOW = 1_800_000_000
TENANTS = ("a", "ab", "A", "a-b")


@dataclass
class Left:
    """What tenants left behind.

    Attributes:
        places: the options that name where.
    """

    bucket: str
    table: str
    s3: Any
    ledger: Ledger

    @property
    def places(self) -> list[str]:
        prefixes = {name: f"s3://{self.bucket}/{name}/" for name in ("sessions", "state", "results")}
        return [*(f"--{name}={uri}" for name, uri in prefixes.items()), f"--table={self.table}"]

    def add(self, tenant: str, *names: str) -> None:
        """Sessions of a tenant, by names of their entries."""
        sessions = S3Objects(f"s3://{self.bucket}/sessions/")
        try:
            for name in names:
                sessions.put(tenant_folder(tenant) + name, [b"0123"])
        finally:
            sessions.close()

    def all_of(self, tenant: str) -> None:
        """Something of everything: seven versions and markers, and five items."""
        self.add(tenant, "0", "0", "1", "2")
        self.s3.delete_object(Bucket=self.bucket, Key=f"sessions/{tenant_folder(tenant)}1")
        S3Store(f"s3://{self.bucket}/state/", tenant, self.s3).put(b"a document", "text/plain")
        self.background(tenant)
        self.ledger.settle(self.ledger.reserve(tenant, Amount(1), Limits(), "one", NOW), Amount(1))
        self.ledger.reserve(tenant, Amount(1), Limits(), "two", NOW)

    def background(self, tenant: str) -> Stored:
        """A response in the background."""
        job = Job("resp_1", tenant, "one", "", NOW, NOW, {"input": "Hello"}, None, {"status": "queued"})
        stored = self.results.create(job)
        assert stored is not None
        return stored

    @property
    def results(self) -> Results:
        return Results(f"s3://{self.bucket}/results/", self.s3)

    def of(self, tenant: str) -> tuple[list[str], int]:
        """Keys of versions and markers, and how many items."""
        keys: list[str] = []
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            keys += [each["Key"] for each in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]
        folders = (f"sessions/{tenant_folder(tenant)}", f"state/{tenant}/", f"results/{tenant_folder(tenant)}")
        return sorted(key for key in keys if key.startswith(folders)), self.ledger.count(tenant)


@pytest.fixture(scope="module")
def table(local_aws: LocalAWS) -> str:
    return make_table(local_aws, "llm-budgets-erased")


@pytest.fixture
def left(local_aws: LocalAWS, table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Left]:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    bucket = f"left-{uuid4().hex}"
    local_aws.make_bucket(bucket)
    with closing(local_aws.client("s3")) as s3, closing(local_aws.client("dynamodb")) as dynamodb:
        yield Left(bucket, table, s3, Ledger(table, dynamodb))


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What the person says who is asked."""
    return lambda said: monkeypatch.setattr(sys, "stdin", io.StringIO(f"{said}\n"))


def test_everything_of_one_tenant_is_erased_and_nothing_of_another(
    run: Run, left: Left, answer: Callable[[str], None]
) -> None:
    for each in TENANTS:
        left.all_of(each)
    before = {each: left.of(each) for each in TENANTS}
    assert {(len(keys), items) for keys, items in before.values()} == {(7, 5)}
    answer("n")
    told = run("tenant", "erase", "a", *left.places)
    assert told.status == 1
    sessions = f"s3://{left.bucket}/sessions/{tenant_folder('a')}"
    assert f"sessions: {sessions} has versions of objects: 5, 0.0 KB\n" in told.err
    assert f"state: s3://{left.bucket}/state/a/ has versions of objects: 1, 0.0 KB\n" in told.err
    assert f"budgets: table {left.table} has items: 5\n" in told.err
    assert {each: left.of(each) for each in TENANTS} == before
    answer("y")
    told = run("tenant", "erase", "a", *left.places)
    assert (told.status, told.out.strip()) == (0, "Erased 12, and nothing is left.")
    assert left.of("a") == ([], 0)
    assert {each: left.of(each) for each in TENANTS[1:]} == {each: before[each] for each in TENANTS[1:]}
    told = run("tenant", "erase", "a", *left.places)
    assert (told.status, told.out) == (0, "There is nothing to erase.\n")
    for each in TENANTS[1:]:
        assert run("tenant", "erase", each, *left.places, "--yes").status == 0
        assert left.of(each) == ([], 0)


def test_only_places_that_are_named_are_touched(run: Run, left: Left) -> None:
    left.all_of("a")
    told = run("tenant", "erase", "a", left.places[1], "--yes", "--json")
    assert json.loads(told.out) == {
        "tenant": "a",
        "places": {"state": {"address": f"s3://{left.bucket}/state/a/", "erased": 1}},
    }
    keys, items = left.of("a")
    assert (len(keys), items) == (6, 5)
    assert run("tenant", "erase", "a", *left.places, "--yes").status == 0


def bar(then: Callable[[int], None]) -> Callable[..., Any]:
    """A progress bar that does something at every step, which it numbers from one."""

    @contextmanager
    def bar_of(_what: str, _steps: int) -> Iterator[Callable[[], None]]:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            then(done)

        yield step

    return bar_of


def test_batches_and_all_that_belongs_to_them_are_erased(run: Run, left: Left) -> None:
    uri = f"s3://{left.bucket}/store/"
    theirs = {}
    for tenant in ("a", "b"):
        batch_id = layout.new_batch(NOW)
        names = [
            layout.file(tenant, layout.new_file(NOW)),
            layout.uploads(tenant) + "big.jsonl",
            layout.batch(tenant, batch_id),
            layout.parts(batch_id),
            layout.piece(batch_id, 0, 0),
        ]
        theirs[tenant] = {f"store/{name}" for name in names}
        for name in theirs[tenant]:
            left.s3.put_object(Bucket=left.bucket, Key=name, Body=b"0123")

    def there() -> set[str]:
        return {each["Key"] for each in left.s3.list_objects_v2(Bucket=left.bucket)["Contents"]}

    assert there() == theirs["a"] | theirs["b"]
    told = run("tenant", "erase", "a", f"--batches={uri}", "--yes", "--json")
    assert told.status == 0, told.err
    assert sum(place["erased"] for place in json.loads(told.out)["places"].values()) == 5
    assert there() == theirs["b"]
    assert run("tenant", "erase", "a", f"--batches={uri}").out == "There is nothing to erase.\n"


def test_what_is_answered_in_the_background_does_not_come_back(run: Run, left: Left) -> None:
    """Its worker has claimed it before, and has an answer afterwards."""
    stored = left.background("a")
    claimed = left.results.replace(stored, stored.job.running(Attempt("worker", NOW)))
    assert claimed is not None
    assert run("tenant", "erase", "a", left.places[2], "--yes").status == 0
    assert left.results.changed(claimed)
    assert left.results.replace(claimed, claimed.job.end(status="completed")) is None
    assert left.of("a")[0] == []


def test_interrupted_it_goes_on_with_what_is_left(run: Run, left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    """And S3 lists and deletes a thousand versions at a time."""
    with ThreadPoolExecutor(4) as pool:
        names = [[f"{first}-{each}" for each in range(256)] for first in range(4)]
        list(pool.map(lambda some: left.add("many", *some), names))
    left.ledger.reserve("many", Amount(1), Limits(), "one", NOW)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(command, "steps_bar", bar(interrupt))
        assert run("tenant", "erase", "many", *left.places, "--yes").status == 130
    keys, items = left.of("many")
    assert (len(keys), items) == (24, 4), "its budgets hold until the rest has gone"
    told = run("tenant", "erase", "many", *left.places, "--yes")
    assert (told.status, told.out) == (0, "Erased 28, and nothing is left.\n")
    assert left.of("many") == ([], 0)


def test_what_comes_meanwhile_is_no_success(run: Run, left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    left.all_of("busy")
    monkeypatch.setattr(command, "steps_bar", bar(lambda done: left.add("busy", "new") if done == 12 else None))
    told = run("tenant", "erase", "busy", *left.places, "--yes", "--json")
    assert (told.status, told.out) == (1, "")
    assert f"left something new meanwhile (1 of s3://{left.bucket}/sessions/" in told.err


def test_a_version_that_may_not_be_deleted_is_told(run: Run, left: Left) -> None:
    locked = f"locked-{uuid4().hex}"
    left.s3.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    left.s3.put_object(Bucket=locked, Key="state/a/kept", Body=b"", ObjectLockLegalHoldStatus="ON")
    told = run("tenant", "erase", "a", f"--state=s3://{locked}/state/", "--yes")
    assert told.status == 1
    assert f"1 of 1 versions below s3://{locked}/state/a/ were not deleted (AccessDenied)" in told.err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["a"], 2, "name at least one place"),
        (["a", "--table", "llm-none", "--json"], 2, "give --yes"),
        (["a", "--table", "llm-none"], 1, "The budgets in llm-none are not known"),
        (["a", "--sessions", "s3://no-such-bucket/x/"], 1, "can't be listed (An error occurred (NoSuchBucket)"),
        (["a", "--results", "results/"], 1, "names no prefix in S3"),
        (["../a", "--state", "s3://bucket/state/"], 1, "A tenant's name has 1 to 64 letters"),
        (["", "--state", "s3://bucket/state/"], 1, "A tenant's name has 1 to 64 letters"),
        (["\udc80", "--sessions", "s3://bucket/state/"], 1, "no Unicode text"),
    ],
)
@pytest.mark.usefixtures("left")
def test_what_can_t_be_done_is_one_sentence(run: Run, arguments: list[str], status: int, says: str) -> None:
    told = run("tenant", "erase", *arguments)
    assert told.status == status
    assert says in " ".join(told.err.replace("│", " ").split())
