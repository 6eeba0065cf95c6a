"""Rolls a canary back when an alarm goes off: CloudWatch invokes `handle` as the alarm's action.

Its role may look at the aliases of one function and change them, and nothing else (modules/canary-rollback). Its only
dependency is botocore, which Lambda's runtime has.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
"""

import logging
import os
from dataclasses import asdict
from typing import Any, Final

from lambda_llm.canary_rollback.rollback import Outcome, roll_back

FUNCTION: Final = "LAMBDA_LLM_CANARY_FUNCTION"
ALIAS: Final = "LAMBDA_LLM_CANARY_ALIAS"
VERSION: Final = "LAMBDA_LLM_CANARY_VERSION"

ALARM: Final = "ALARM"
"""The state that an alarm's action is about."""

DIMENSION: Final = "ExecutedVersion"
"""Of Lambda's metrics: which of an alias's versions they are of.
Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html"""

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


def handle(event: Any, context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes two arguments
    """Roll back if the event is of an alarm that went off for the canary.

    An alarm of another version is one of an earlier canary, whose event came late. One without a version, such as one
    on a metric of the deployer's own, is taken to be about the canary.
    """
    outcome = _outcome(event, os.environ[FUNCTION], os.environ[ALIAS], os.environ[VERSION])
    logger.log(logging.WARNING if outcome.rolled_back else logging.INFO, "%s", outcome.reason)
    return asdict(outcome)


def _outcome(event: Any, function: str, alias: str, canary: str) -> Outcome:
    alarm = event.get("alarmData") if isinstance(event, dict) else None
    state = alarm.get("state", {}).get("value") if isinstance(alarm, dict) else None
    if not isinstance(alarm, dict) or state != ALARM:
        told = f"an alarm in state {state}" if alarm else "no alarm"
        return Outcome(rolled_back=False, reason=f"The event is of {told}, not of one in ALARM: nothing was changed.")
    others = _versions(alarm) - {canary}
    if others:
        return Outcome(
            rolled_back=False,
            reason=f"The alarm is of version {', '.join(sorted(others))}, the canary is {canary}: nothing was changed.",
        )
    return roll_back(function, alias, canary)


def _versions(alarm: dict[str, Any]) -> set[str]:
    """The versions that an alarm's metrics are of; composite alarms have no metrics."""
    metrics = (alarm.get("configuration") or {}).get("metrics") or []
    dimensions = [one.get("metricStat", {}).get("metric", {}).get("dimensions") or {} for one in metrics]
    return {one[DIMENSION] for one in dimensions if DIMENSION in one}
