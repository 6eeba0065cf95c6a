"""What ministack lacks of CloudWatch for this project; imported by `ministack_server`.

- Alarms in XML, as Terraform reads them, have all that was set, and nothing that was not: percentiles, and expressions.
- Saved queries of CloudWatch Logs Insights.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html,
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutQueryDefinition.html
"""

import json
import uuid
from typing import Any
from xml.sax.saxutils import escape

from ministack.core.responses import error_response_json, json_response
from ministack.services import cloudwatch, cloudwatch_logs

_DEFAULTED = ("Statistic", "ExtendedStatistic", "Period", "Unit", "EvaluateLowSampleCountPercentile")
"""What of an alarm ministack fills in, or forgets."""

_QUERY = ("Id", "Expression", "Label", "Period", "ReturnData")

_describe_alarms, _put_metric_alarm = cloudwatch._describe_alarms, cloudwatch._put_metric_alarm  # noqa: SLF001 - no public API
_handle_logs = cloudwatch_logs.handle_request

_given: dict[str, dict[str, str]] = {}
"""Parameters of each alarm's last request, by its name."""

_definitions: dict[str, dict[str, Any]] = {}
"""Saved queries by id."""


def install() -> None:
    """Put all of it into ministack."""
    cloudwatch._put_metric_alarm = _alarm_put  # noqa: SLF001
    cloudwatch._describe_alarms = _alarms_as_set  # noqa: SLF001
    cloudwatch_logs.handle_request = _handle


def _alarm_put(params: dict[str, Any], *others: Any) -> Any:
    told = {name: str(value[0] if isinstance(value, list) else value) for name, value in params.items()}
    if name := told.get("AlarmName"):
        _given[name] = told
    return _put_metric_alarm(params, *others)


def _alarms_as_set(*request: Any) -> tuple[Any, ...]:
    status, headers, body = _describe_alarms(*request)
    if "xml" in headers["Content-Type"]:
        for name, alarm in cloudwatch._alarms.items():  # noqa: SLF001
            named = f"<member><AlarmName>{name}</AlarmName>"
            body = body.replace(named.encode(), (named + _as_set(alarm)).encode())
    return status, headers, body


def _as_set(alarm: dict[str, Any]) -> str:
    """What ministack leaves out of an alarm's XML."""
    given = _given.get(alarm["AlarmName"], {})
    found = [f"<ActionsEnabled>{str(alarm['ActionsEnabled']).lower()}</ActionsEnabled>"]
    found += [_element(name, alarm[name]) for name in ("AlarmDescription", "TreatMissingData") if alarm.get(name)]
    found += [_element(name, given[name]) for name in _DEFAULTED if given.get(name)]
    for name in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        members = "".join(_element("member", action) for action in alarm.get(name, []))
        found.append(f"<{name}>{members}</{name}>")
    members = "".join(
        f"<member>{_element('Name', one['Name'])}{_element('Value', one['Value'])}</member>"
        for one in alarm.get("Dimensions", [])
    )
    return "".join([*found, f"<Dimensions>{members}</Dimensions>", f"<Metrics>{_queries(given)}</Metrics>"])


def _queries(given: dict[str, str]) -> str:
    """Expressions; none of an alarm here has several metrics."""
    found, number = "", 1
    while f"Metrics.member.{number}.Id" in given:
        prefix = f"Metrics.member.{number}."
        told = "".join(_element(name, given[prefix + name]) for name in _QUERY if given.get(prefix + name))
        found, number = f"{found}<member>{told}</member>", number + 1
    return found


def _element(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


async def _handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    asked = json.loads(body) if body else {}
    if action == "PutQueryDefinition":
        return _put_definition(asked)
    if action == "DescribeQueryDefinitions":
        prefix = asked.get("queryDefinitionNamePrefix") or ""
        found = [one for one in _definitions.values() if one["name"].startswith(prefix)]
        return json_response({"queryDefinitions": found})
    if action == "DeleteQueryDefinition":
        return json_response({"success": _definitions.pop(asked["queryDefinitionId"], None) is not None})
    return await _handle_logs(method, path, headers, body, query)


def _put_definition(asked: dict[str, Any]) -> Any:
    name = asked.get("queryDefinitionId") or str(uuid.uuid4())
    if asked.get("queryDefinitionId") and name not in _definitions:
        return error_response_json("ResourceNotFoundException", "The specified query definition does not exist.", 400)
    _definitions[name] = {
        "queryDefinitionId": name,
        "name": asked["name"],
        "queryString": asked["queryString"],
        "logGroupNames": asked.get("logGroupNames", []),
    }
    return json_response({"queryDefinitionId": name})
