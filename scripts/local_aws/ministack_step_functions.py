"""What ministack lacks of Step Functions for this project; imported by `ministack_server`.

- `MaxConcurrencyPath` of a distributed map, its `ResultWriter`, and the limit of what it returns without one, which
  `ResultPath` does not lift (github.com/aws/aws-cdk/issues/24799) and `States.ALL` does not catch.
- `MaxDelaySeconds` and `JitterStrategy` of a retrier.
- The tracing of a state machine, as it was set.
- A throttled function is `Lambda.TooManyRequestsException`, for which state machines retry longer than for others.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html, input-output-resultwriter.html
and concepts-error-handling.html
"""

import json
import random
from collections.abc import Callable
from typing import Any

from ministack.services import s3
from ministack.services import stepfunctions as states

RESULT_BYTES = 256 * 1024

_run_distributed_map = states._run_distributed_map  # noqa: SLF001 - none of this has a public API
_find_matching_retrier = states._find_matching_retrier  # noqa: SLF001
_call_lambda = states._call_lambda  # noqa: SLF001
_error_matches = states._error_matches  # noqa: SLF001
_create, _update = states._create_state_machine, states._update_state_machine  # noqa: SLF001


def _map_with_path(state: dict[str, Any], raw: Any, effective: Any, *others: Any) -> Any:
    if "MaxConcurrencyPath" in state:
        most = states._resolve_path_or_ctx(state["MaxConcurrencyPath"], effective, others[-1])  # noqa: SLF001
        state = {**state, "MaxConcurrency": most}
    execution, context = others[-2:]
    bare = {name: value for name, value in state.items() if name not in ("ResultSelector", "ResultPath", "OutputPath")}
    results, following = _run_distributed_map(bare, raw, effective, *others)
    if "ResultWriter" in state:
        results = _written(state["ResultWriter"], effective, execution, context)
    elif len(json.dumps(results)) > RESULT_BYTES:
        cause = "The map returned a result with a size exceeding the maximum number of bytes service limit."
        raise states._ExecutionError("States.DataLimitExceeded", cause)  # noqa: SLF001
    output = states._apply_result_path(state, raw, states._apply_result_selector(state, results))  # noqa: SLF001
    return states._apply_output_path(state, output, context), following  # noqa: SLF001


def _written(writer: dict[str, Any], effective: Any, execution: dict[str, Any], context: Any) -> dict[str, Any]:
    """Write what the children of an execution's last map returned, compact and in lines, and say where."""
    runs = [run for run in states._map_runs.values() if run["executionArn"] == execution["executionArn"]]  # noqa: SLF001
    arn = runs[-1]["mapRunArn"]
    children = [one for one in states._executions.values() if one.get("mapRunArn") == arn]  # noqa: SLF001
    where = states._resolve_params_obj(writer["Parameters"], effective, context)  # noqa: SLF001
    folder = f"{where['Prefix']}/{arn.rpartition(':')[2]}/"
    files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status, listed in files.items():
        some = [one for one in children if one["status"] == status]
        lines = [one["output"] if status == "SUCCEEDED" else json.dumps(_failure(one)) for one in some]
        if lines:
            key, body = f"{folder}{status}_0.jsonl", "".join(f"{line}\n" for line in lines).encode()
            _put(where["Bucket"], key, body)
            listed.append({"Key": key, "Size": len(body)})
    manifest = {"DestinationBucket": where["Bucket"], "MapRunArn": arn, "ResultFiles": files}
    _put(where["Bucket"], f"{folder}manifest.json", json.dumps(manifest).encode())
    return {
        "MapRunArn": arn,
        "ResultWriterDetails": {"Bucket": where["Bucket"], "Key": f"{folder}manifest.json"},
    }


def _failure(child: dict[str, Any]) -> dict[str, Any]:
    told = {"executionArn": "ExecutionArn", "input": "Input", "error": "Error", "cause": "Cause", "status": "Status"}
    return {name: child.get(own) for own, name in told.items()}


def _put(bucket: str, key: str, body: bytes) -> None:
    if s3._put_object(bucket, key, body, {})[0] != 200:  # noqa: PLR2004, SLF001 - HTTP
        raise states._ExecutionError("States.ResultWriterFailed", f"Writing s3://{bucket}/{key} failed")  # noqa: SLF001


def _matches_but_what_ends(names: list[str], error: str) -> bool:
    terminal = error in ("States.DataLimitExceeded", "States.Runtime")
    return error in names if terminal else bool(_error_matches(names, error))


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
    states._error_matches = _matches_but_what_ends  # noqa: SLF001
    states._create_state_machine = _with_tracing(_create)  # noqa: SLF001
    states._update_state_machine = _with_tracing(_update)  # noqa: SLF001
