"""Utilization as CloudWatch's metrics say it, read by one environment a minute, over AWS's protocols."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from lambda_llm.backends.contract import Operation, Request
from lambda_llm.router.budget import Amount, Limits
from lambda_llm.router.config import parse
from lambda_llm.router.dispatch import Dispatcher
from lambda_llm.router.facts import Facts
from lambda_llm.router.ledger import Ledger
from lambda_llm.router.policy import Prefer
from lambda_llm.router.utilization import LEASE_SECONDS, REFRESH_SECONDS, Utilization, functions_of
from scripts.local_aws.server import LocalAWS
from support.backend_script import Scripted
from support.backends import checked
from support.budgets import make_table
from support.router import written

NOW = datetime(2026, 11, 27, 6, 34, 28, tzinfo=UTC).timestamp()
SMALL = "arn:aws:lambda:eu-central-1:123456789012:function:small:live"
LARGE = "arn:aws:lambda:eu-central-1:123456789012:function:large:live"
ABROAD = "arn:aws:lambda:us-east-1:123456789012:function:small:live"


class Metrics:
    """CloudWatch, whose requests are checked by AWS's model; `milliseconds` by resource and minute."""

    def __init__(self, region: str = "eu-central-1") -> None:
        self.region = region
        self.milliseconds: dict[str, dict[str, float]] = {}
        self.asked: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.status = "Complete"
        self.hold: threading.Event | None = None
        self.begun = threading.Event()

    def get_paginator(self, operation: str) -> "Metrics":
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        checked("cloudwatch", "GetMetricData", request)
        self.asked.append(request)
        self.begun.set()
        if self.hold is not None:
            assert self.hold.wait(60)
        if self.failure is not None:
            raise self.failure
        for query in request["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            assert (metric["Namespace"], metric["MetricName"]) == ("AWS/Lambda", "Duration")
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            name, resource = dimensions["FunctionName"], dimensions["Resource"]
            assert resource.startswith(f"{name}:")
            start, end = request["StartTime"], request["EndTime"]
            points = {
                datetime.fromisoformat(minute).replace(tzinfo=UTC): value
                for minute, value in self.milliseconds.get(resource, {}).items()
            }
            values = [value for moment, value in points.items() if start <= moment < end]
            for part in (values[:2], values[2:]):  # over two pages
                yield {"MetricDataResults": [{"Id": query["Id"], "Values": part, "StatusCode": self.status}]}


@pytest.fixture(scope="module")
def table(local_aws: LocalAWS) -> str:
    return make_table(local_aws, "llm-budgets-with-utilization")


@pytest.fixture
def client(local_aws: LocalAWS, table: str) -> Iterator[Any]:
    with closing(local_aws.client("dynamodb")) as made:
        yield made
        made.delete_item(TableName=table, Key={"pk": {"S": "utilization"}, "sk": {"S": "utilization"}})


class Environments:
    """Several environments of a router over one table and one CloudWatch, with one clock."""

    def __init__(self, table: str, client: Any) -> None:
        self.now = NOW
        self.metrics = {region: Metrics(region) for region in ("eu-central-1", "us-east-1")}
        self._table, self._client = table, client

    def one(self) -> Utilization:
        return Utilization(self._table, self._client, self.metrics.__getitem__, lambda: self.now)

    @property
    def asked(self) -> int:
        return sum(len(each.asked) for each in self.metrics.values())


@pytest.fixture
def environments(table: str, client: Any) -> Environments:
    made = Environments(table, client)
    # 06:27 is too long ago, and 06:33 is not complete yet.
    minutes = {"2026-11-27T06:27": 9e9, "2026-11-27T06:33": 9e9}
    minutes |= {f"2026-11-27T06:{minute}": 30_000.0 for minute in (28, 29, 30, 31, 32)}
    made.metrics["eu-central-1"].milliseconds = {
        "small:live": minutes,
        "large:live": {"2026-11-27T06:32": 900_000.0},
    }
    return made


def test_utilization_is_the_number_of_environments_that_were_busy_on_average(environments: Environments) -> None:
    """Half a minute of each is 0.5; fifteen minutes that ended in one of five are 3; without metrics it is none."""
    functions = {"a": SMALL, "b": LARGE, "c": ABROAD, "the same": SMALL}
    assert environments.one().refresh(functions) == {"a": 0.5, "b": 3.0, "c": 0.0, "the same": 0.5}
    [asked] = environments.metrics["eu-central-1"].asked
    assert len(asked["MetricDataQueries"]) == 2
    assert len(environments.metrics["us-east-1"].asked) == 1
    assert environments.one().refresh({}) == {}


def test_one_environment_reads_for_all(environments: Environments) -> None:
    """Each of them looks once a minute, and sees what another one has read."""
    first, second = environments.one(), environments.one()
    assert first.due
    assert first.refresh({"a": SMALL}) == {"a": 0.5}
    assert second.refresh({"b": SMALL}) == {"b": 0.5}
    assert (environments.asked, first.due, second.due) == (1, False, False)
    environments.metrics["eu-central-1"].milliseconds = {}
    environments.now += REFRESH_SECONDS - 1
    assert environments.one().refresh({"a": SMALL}) == {"a": 0.5}
    environments.now += 1
    assert first.due
    assert (second.refresh({"a": SMALL}), first.refresh({"a": SMALL})) == ({"a": 0.0}, {"a": 0.0})
    assert environments.asked == 2


def test_of_many_at_once_one_reads_and_the_others_go_on_with_what_there_is(environments: Environments) -> None:
    """The lease is DynamoDB's to give."""
    environments.one().refresh({"a": SMALL})
    environments.now += REFRESH_SECONDS
    metrics = environments.metrics["eu-central-1"]
    metrics.begun.clear()
    metrics.hold = threading.Event()
    metrics.milliseconds = {}
    found: list[dict[str, float]] = []
    reading = threading.Thread(target=lambda: found.append(environments.one().refresh({"a": SMALL})))
    reading.start()
    assert metrics.begun.wait(60)
    others = [environments.one().refresh({"a": SMALL}) for _ in range(5)]
    metrics.hold.set()
    reading.join()
    assert (others, found, environments.asked) == ([{"a": 0.5}] * 5, [{"a": 0.0}], 2)


def test_one_that_dies_while_it_reads_is_replaced_and_never_overwrites(environments: Environments) -> None:
    metrics = environments.metrics["eu-central-1"]
    slow = environments.one()
    metrics.hold = threading.Event()
    reading = threading.Thread(target=slow.refresh, args=[{"a": SMALL}])
    reading.start()
    assert metrics.begun.wait(60)
    environments.now += LEASE_SECONDS - 1
    assert environments.one().refresh({"a": SMALL}) == {}
    environments.now += 1
    hold, metrics.hold = metrics.hold, None
    metrics.milliseconds = {"small:live": {"2026-11-27T06:30": 600_000.0}}
    assert environments.one().refresh({"a": SMALL}) == {"a": 2.0}
    metrics.milliseconds = {}
    hold.set()
    reading.join()
    assert environments.one().refresh({"a": SMALL}) == {"a": 2.0}


@pytest.mark.parametrize("failure", [EndpointConnectionError(endpoint_url="https://monitoring"), None])
def test_what_goes_wrong_changes_nothing_and_is_told(
    failure: Exception | None, environments: Environments, caplog: pytest.LogCaptureFixture
) -> None:
    """The next minute, or the end of the lease, is another chance."""
    metrics = environments.metrics["eu-central-1"]
    if failure is None:
        metrics.status = "InternalError"
    metrics.failure = failure
    one = environments.one()
    assert one.refresh({"a": SMALL}) == {}
    assert "the utilization of functions was not read, and stays what it was: " in caplog.text
    metrics.failure, metrics.status = None, "Complete"
    metrics.milliseconds = {"small:live": {"2026-11-27T06:30": 120_000.0}}
    environments.now += REFRESH_SECONDS
    assert one.due
    assert one.refresh({"a": SMALL}) == {"a": 0.4}


def test_a_table_that_is_not_there_changes_nothing(
    environments: Environments, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert Utilization("none", client, environments.metrics.__getitem__, lambda: NOW).refresh({"a": SMALL}) == {}
    assert "ResourceNotFoundException" in caplog.text
    assert environments.asked == 0


@pytest.mark.parametrize(
    "item", [{"busy": {"S": "{"}}, {"busy": {"S": "[]"}}, {"busy": {"N": "1"}}, {"read_at": {"S": "x"}}]
)
def test_an_item_that_nobody_can_read_changes_nothing(
    item: dict[str, Any], environments: Environments, client: Any, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = {"pk": {"S": "utilization"}, "sk": {"S": "utilization"}}
    client.put_item(TableName=table, Item=key | {"read_at": {"N": str(int(NOW))}} | item)
    assert environments.one().refresh({"a": SMALL}) == {}
    assert "was not read" in caplog.text


def test_the_item_is_no_tenant_s(environments: Environments, client: Any, table: str) -> None:
    """Whoever lists tenants or erases one does not see it, whatever the tenant is called."""
    environments.one().refresh({"a": SMALL})
    ledger = Ledger(table, client)
    for tenant in ("utilization", "acme"):
        ledger.settle(ledger.reserve(tenant, Amount(10, 10), Limits(), "one", NOW), Amount(5, 5))
    assert ledger.tenants() == ["acme", "utilization"]
    for tenant in ("utilization", "acme"):
        assert sum(ledger.erase(tenant)) == 4
    assert ledger.tenants() == []
    assert environments.one().refresh({"a": SMALL}) == {"a": 0.5}


def test_functions_of_ours_are_measured_and_nothing_else() -> None:
    """By the alias that Invoke names, or that stands behind a Function URL."""
    given = written()
    entry = {
        "kind": "openai_http",
        "place": "lambda",
        "url": "https://abc.lambda-url.eu-central-1.on.aws",
        "model": "demo",
        "auth": {"kind": "sigv4", "service": "lambda", "region": "eu-central-1"},
        "context": 8192,
        "price": {"prefill": 200, "decode": 20},
    }
    given["backends"] |= {
        "url": entry | {"function": LARGE},
        "unnamed": entry,
        "by the hour": entry | {"function": SMALL, "price": {"hourly": 1, "prefill": 200, "decode": 20}},
    }
    given["backends"]["hourly"] = given["backends"].pop("by the hour")
    assert functions_of(parse(json.dumps(given).encode())) == {"small": SMALL, "url": LARGE}


def test_what_was_measured_decides(environments: Environments) -> None:
    """A server by the hour comes first once the function is busy enough."""
    given = written()
    given["backends"]["gpu"]["operations"] = ["/v1/chat/completions"]
    given["models"] = {"chat": {"backends": ["small", "gpu"], "prefer": "utilization"}}
    given["tenants"] = {"*": {"models": ["*"]}}
    configuration = parse(json.dumps(given).encode())
    dispatcher = Dispatcher({name: Scripted(name) for name in configuration.backends}, lambda: 0.0)
    request = Request(Operation.CHAT, {}, 1e9, "an-id")

    def first() -> str:
        facts = Facts(Operation.CHAT, 100, 100)
        return (
            dispatcher.choose(request, facts, configuration.options("chat"), Prefer.UTILIZATION).candidates[0].backend
        )

    assert first() == "small"
    dispatcher.measured(environments.one().refresh(functions_of(configuration)))
    assert dispatcher.health["small"].utilization == 0.5
    assert first() == "gpu"


def test_over_cloudwatch_s_protocol(table: str, client: Any, local_aws: LocalAWS) -> None:
    """What was put into CloudWatch is what is read."""
    now = datetime.now(UTC)
    dimensions = [{"Name": "FunctionName", "Value": "small"}, {"Name": "Resource", "Value": "small:live"}]
    with closing(local_aws.client("cloudwatch")) as metrics:
        metrics.put_metric_data(
            Namespace="AWS/Lambda",
            MetricData=[
                {
                    "MetricName": "Duration", "Dimensions": dimensions, "Unit": "Milliseconds",
                    "Timestamp": now - timedelta(minutes=3), "Value": value,
                } for value in (60_000, 90_000)
            ],
        )  # fmt: skip
        assert Utilization(table, client, lambda _: metrics).refresh({"a": SMALL, "b": LARGE}) == {"a": 0.5, "b": 0.0}
