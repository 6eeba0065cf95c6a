"""How busy our functions are, read once a minute for all environments of the router.

Utilization is the number of a function's environments that were busy on average: what `cost.break_even` compares with a
server by the hour. It comes from the sum of `Duration` of the function's alias, divided by the time that passed.
`ConcurrentExecutions` is sampled only while something runs, so that its average leaves out the idle time. An invocation
counts in the minute in which it ends, hence several minutes.

CloudWatch bills each metric of a request. So one item of the budgets' table has what was read last, and whichever
environment finds it too old takes a lease, reads and writes; the others read the item, each once a minute, and never
for a request. Its key is no tenant's: `ledger` neither lists nor erases it.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lambda_llm.aws import clients
from lambda_llm.router.config import Configuration, LambdaInvokeEntry, OpenAIHTTPEntry
from lambda_llm.router.policy import TimePrice

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REFRESH_SECONDS: Final = 60
"""How old what was read may be."""

LEASE_SECONDS: Final = 30
"""How long one environment has for reading; then another one may try."""

MINUTES: Final = 5
"""That are averaged."""

DELAY_SECONDS: Final = 60
"""Time until CloudWatch has a minute's metrics."""

_QUERIES: Final = 500
"""Most metrics of one request. Source: as above."""

_KEPT_SECONDS: Final = 24 * 60 * 60
_MINUTE: Final = 60
_KEY: Final[Mapping[str, Any]] = {"pk": {"S": "utilization"}, "sk": {"S": "utilization"}}

logger = logging.getLogger(__name__)


def functions_of(configuration: Configuration) -> dict[str, str]:
    """The aliases of a configuration's functions that are paid while busy: ARN by the name of the backend."""
    return {
        name: entry.function
        for name, entry in configuration.backends.items()
        if isinstance(entry, LambdaInvokeEntry | OpenAIHTTPEntry)
        and entry.function is not None
        and isinstance(price := entry.price.price(), TimePrice)
        and price.hourly is None
    }


class Utilization:
    """What was measured of all functions. Its calls wait for AWS, and are made on a thread.

    The router's role needs `dynamodb:GetItem` and `UpdateItem` on the table, and `cloudwatch:GetMetricData`.
    """

    def __init__(
        self,
        table: str,
        client: "DynamoDBClient",
        metrics: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the table; no request is sent.

        Args:
            table: of the budgets, its name or its ARN.
            client: of DynamoDB.
            metrics: gives a client of CloudWatch in a region; default: one that is bounded in time and attempts.
            clock: seconds since 1970.
        """
        self._table = table
        self._client = client
        self._metrics = metrics or (lambda region: clients.create("cloudwatch", region))
        self._made: dict[str, Any] = {}
        self._clock = clock
        self._asked = -math.inf

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return self._clock() - self._asked >= REFRESH_SECONDS

    def refresh(self, functions: Mapping[str, str]) -> dict[str, float]:
        """The latest utilization by backend, for `Dispatcher.measured`; those that nobody has measured are left out.

        What goes wrong is logged, and changes nothing.

        Args:
            functions: ARN of the alias by the name of the backend, as `functions_of` gives them.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the client has imported it

        self._asked = now = self._clock()
        if not functions:
            return {}
        try:
            found = self._read(now, sorted(set(functions.values())))
        except (BotoCoreError, ClientError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.error(  # noqa: TRY400 - the message is complete
                "the utilization of functions was not read, and stays what it was: %s", error
            )
            return {}
        return {name: found[arn] for name, arn in functions.items() if arn in found}

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        for client in (self._client, *self._made.values()):
            client.close()

    def _read(self, now: float, arns: Sequence[str]) -> dict[str, float]:
        """By ARN: from the table, or where that is too old and nobody else is at it, from CloudWatch."""
        item: Mapping[str, Any] = self._client.get_item(TableName=self._table, Key=dict(_KEY)).get("Item", {})
        if _number(item, "read_at") <= now - REFRESH_SECONDS and self._leased(now):
            found = dict(self._measured(now, arns))
            self._write(now, found)
            return found
        said = json.loads(item["busy"]["S"]) if "busy" in item else {}
        return {arn: float(busy) for arn, busy in said.items()}

    def _leased(self, now: float) -> bool:
        """Whether this environment may read now; of several at once, one may."""
        return self._update(
            "SET leased_until = :until, expires_at = :expires",
            "(attribute_not_exists(leased_until) OR leased_until <= :now)"
            " AND (attribute_not_exists(read_at) OR read_at <= :old)",
            until=_until(now),
            now=int(now),
            old=int(now) - REFRESH_SECONDS,
            expires=int(now) + _KEPT_SECONDS,
        )

    def _write(self, now: float, found: Mapping[str, float]) -> None:
        """Write what was read, unless the lease has gone to somebody else meanwhile."""
        self._update(
            "SET read_at = :now, busy = :busy REMOVE leased_until",
            "leased_until = :until",
            until=_until(now),
            now=int(now),
            busy=json.dumps(found, sort_keys=True),
        )

    def _update(self, update: str, condition: str, **values: int | str) -> bool:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - the client has imported it

        try:
            self._client.update_item(
                TableName=self._table,
                Key=dict(_KEY),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues={
                    f":{name}": {"S": value} if isinstance(value, str) else {"N": str(value)}
                    for name, value in values.items()
                },
            )
        except ClientError as error:
            if error.response["Error"].get("Code") == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def _measured(self, now: float, arns: Sequence[str]) -> Iterator[tuple[str, float]]:
        """Ask CloudWatch, once in each region."""
        regions = defaultdict(list)
        for arn in arns:
            regions[arn.split(":")[3]].append(arn)
        end = int(now - DELAY_SECONDS) // _MINUTE * _MINUTE
        start = end - MINUTES * _MINUTE
        for region, there in regions.items():
            if region not in self._made:
                self._made[region] = self._metrics(region)
            for some in (there[at : at + _QUERIES] for at in range(0, len(there), _QUERIES)):
                pages = (
                    self._made[region]
                    .get_paginator("get_metric_data")
                    .paginate(
                        MetricDataQueries=[_query(number, arn) for number, arn in enumerate(some)],
                        StartTime=datetime.fromtimestamp(start, UTC),
                        EndTime=datetime.fromtimestamp(end, UTC),
                    )
                )
                milliseconds = dict.fromkeys(range(len(some)), 0.0)
                for result in (each for page in pages for each in page["MetricDataResults"]):
                    if result["StatusCode"] not in {"Complete", "PartialData"}:  # the rest is on the next page
                        raise ValueError(f"CloudWatch says {result['StatusCode']}")
                    milliseconds[int(result["Id"][1:])] += sum(result["Values"])
                for number, busy in milliseconds.items():
                    yield some[number], busy / 1000 / (end - start)


def _until(now: float) -> int:
    return int(now) + LEASE_SECONDS


def _query(number: int, arn: str) -> dict[str, Any]:
    name, alias = arn.split(":")[6:8]
    dimensions = [{"Name": "FunctionName", "Value": name}, {"Name": "Resource", "Value": f"{name}:{alias}"}]
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": dimensions}
    return {
        "Id": f"f{number}",
        "MetricStat": {"Metric": metric, "Period": _MINUTE, "Stat": "Sum", "Unit": "Milliseconds"},
        "ReturnData": True,
    }


def _number(item: Mapping[str, Any], name: str) -> float:
    return int(item[name]["N"]) if name in item else -math.inf
