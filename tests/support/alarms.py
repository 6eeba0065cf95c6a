"""Events of CloudWatch alarms whose action is a function.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
"""

from collections.abc import Mapping
from typing import Any

AT = "2026-03-12T19:03:58.431+0000"


def alarm_event(dimensions: Mapping[str, str] | None = None, state: str = "ALARM", arn: str = "") -> dict[str, Any]:
    """The event of an alarm on a metric with these dimensions, or of a composite alarm."""
    metric = {"namespace": "AWS/Lambda", "name": "Errors", "dimensions": dict(dimensions or {})}
    stat = {"metric": metric, "period": 60, "stat": "Sum"}
    metrics = [{"id": "b3e8c0a2-7d1f-4a55-9f60-0d6f0a1c2b3d", "metricStat": stat, "returnData": True}]
    rule = {"alarmRule": "ALARM(quality) OR ALARM(speed)"}
    return {
        "source": "aws.cloudwatch",
        "alarmArn": arn or "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:chat-rollback-errors",
        "accountId": "123456789012",
        "time": AT,
        "region": "eu-central-1",
        "alarmData": {
            "alarmName": "chat-rollback-errors",
            "state": {
                "value": state,
                "reason": "Threshold Crossed: 1 datapoint [3.0 (12/03/26 19:02:00)] was greater than or equal to the "
                "threshold (1.0).",
                "reasonData": '{"version":"1.0","statistic":"Sum","period":60,"recentDatapoints":[3.0]}',
                "timestamp": AT,
            },
            "previousState": {"value": "OK", "reason": "", "timestamp": AT},
            "configuration": rule if dimensions is None else {"description": "", "metrics": metrics},
        },
    }
