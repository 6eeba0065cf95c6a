"""What ministack lacks of Step Functions for this project; imported by `ministack_server`.

- `MaxConcurrencyPath` of a map.
- `MaxDelaySeconds` and `JitterStrategy` of a retrier.
- The tracing of a state machine, as it was set.
- A throttled function is `Lambda.TooManyRequestsException`, for which state machines retry longer than for others.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html and
concepts-error-handling.html
"""

import json
import random
from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions as states

_run_distributed_map = states._run_distributed_map  # noqa: SLF001 - none of this has a public API
_find_matching_retrier = states._find_matching_retrier  # noqa: SLF001
_call_lambda = states._call_lambda  # noqa: SLF001
_create, _update = states._create_state_machine, states._update_state_machine  # noqa: SLF001


def _map_with_path(state: dict[str, Any], raw: Any, effective: Any, *others: Any) -> Any:
    if "MaxConcurrencyPath" in state:
        most = states._resolve_path_or_ctx(state["MaxConcurrencyPath"], effective, others[-1])  # noqa: SLF001
        state = {**state, "MaxConcurrency": most}
    return _run_distributed_map(state, raw, effective, *others)


def _retrier_with_delay(retriers: list[dict[str, Any]], error: str, counts: dict[int, int]) -> Any:
    retrier, index = _find_matching_retrier(retriers, error, counts)
    if retrier is None:
        return retrier, index
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** counts.get(index, 0)
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    if retrier.get("JitterStrategy") == "FULL":
        delay = random.uniform(0, delay)  # noqa: S311 - no secret
    return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1}, index


def _call_or_throttle(reference: str, event: Any) -> Any:
    try:
        return _call_lambda(reference, event)
    except states._ExecutionError as error:  # noqa: SLF001
        if error.error == "Lambda.Unknown" and '"__type": "TooManyRequestsException"' in error.cause:
            message = json.loads(error.cause)["message"]
            raise states._ExecutionError("Lambda.TooManyRequestsException", message) from None  # noqa: SLF001
        raise


def _with_tracing(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def changed(data: dict[str, Any]) -> Any:
        answer = change(data)
        body = json.loads(answer[2])
        machine = states._state_machines.get(data.get("stateMachineArn") or body.get("stateMachineArn"))  # noqa: SLF001
        if machine is not None:
            before = machine.get("tracingConfiguration", {"enabled": False})
            machine["tracingConfiguration"] = data.get("tracingConfiguration", before)
        return answer

    return changed


def install() -> None:
    """Put it into ministack."""
    states._run_distributed_map = _map_with_path  # noqa: SLF001
    states._find_matching_retrier = _retrier_with_delay  # noqa: SLF001
    states._call_lambda = _call_or_throttle  # noqa: SLF001
    states._create_state_machine = _with_tracing(_create)  # noqa: SLF001
    states._update_state_machine = _with_tracing(_update)  # noqa: SLF001
