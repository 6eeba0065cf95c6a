"""What ministack lacks of AWS Batch for this project; imported by `ministack_server`.

- Jobs run: the command of their definition's container, as a process of this machine, with the variables that AWS sets
  and the credentials of the job's role. Image and resources count for nothing.
- Array jobs: a process for each index, `JOBS_AT_ONCE` at a time, and attempts as in the retry strategy.
- Step Functions' `batch:submitJob.sync`: it waits for the job, and a failed one is `States.TaskFailed`.

Sources: https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html, array_jobs.html, job_retries.html;
https://docs.aws.amazon.com/step-functions/latest/dg/connect-batch.html
"""

import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from ministack.core.lambda_runtime import execution_credentials
from ministack.core.responses import error_response_json, get_account_id, get_region
from ministack.services import batch
from ministack.services import stepfunctions as states

JOBS_AT_ONCE = 4
ARRAY_SIZES = range(2, 10_001)
ENDED = ("SUCCEEDED", "FAILED")

_record_job = batch._submit_job  # noqa: SLF001 - none of this has a public API
_record_definition = batch._register_job_definition  # noqa: SLF001


def register_job_definition(request: dict[str, Any]) -> Any:
    """Record a definition with its retry strategy, which ministack drops."""
    answer = _record_definition(request)
    if answer[0] == 200:  # noqa: PLR2004 - HTTP
        definition = batch._job_definitions[request["jobDefinitionName"]][-1]  # noqa: SLF001
        definition["retryStrategy"] = request.get("retryStrategy", {})
    return answer


def submit_job(request: dict[str, Any]) -> Any:
    """Record a job and start it."""
    definition = _definition(request.get("jobDefinition", ""))
    size = request.get("arrayProperties", {}).get("size")
    if definition is None:
        return error_response_json("ClientException", f"Job definition not found: {request.get('jobDefinition')}", 400)
    if size is not None and size not in ARRAY_SIZES:
        return error_response_json("ClientException", "Array size must be between 2 and 10000", 400)
    answer = _record_job(request)
    job = batch._jobs[json.loads(answer[2])["jobId"]]  # noqa: SLF001
    job.update(status="RUNNABLE", statusReason="", container={})
    children = [job]
    if size is not None:
        job["arrayProperties"] = {"size": size}
        children = [{**job, "jobId": f"{job['jobId']}:{n}", "arrayProperties": {"index": n}} for n in range(size)]
        batch._jobs.update({child["jobId"]: child for child in children})  # noqa: SLF001
    arguments = (job, children, definition, request.get("containerOverrides", {}))
    threading.Thread(target=copy_context().run, args=(_run_all, *arguments), daemon=True).start()
    return answer


def _definition(reference: str) -> dict[str, Any] | None:
    """The definition of a name or an ARN: of a revision, or the newest."""
    name, _, revision = reference.rpartition("/")[2].partition(":")
    found = (one for one in batch._job_definitions.get(name, []) if revision in ("", str(one["revision"])))  # noqa: SLF001
    return max(found, key=lambda one: int(one["revision"]), default=None)


def _run_all(job: Any, children: list[Any], definition: dict[str, Any], overrides: dict[str, Any]) -> None:
    job["status"] = "RUNNING"
    container = {**definition["containerProperties"], **overrides}
    given = [*definition["containerProperties"].get("environment", []), *overrides.get("environment", [])]
    role = {"FunctionArn": f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:job", "FunctionName": "job"}
    variables = {
        **os.environ,
        "AWS_REGION": get_region(),
        "AWS_DEFAULT_REGION": get_region(),
        "AWS_ENDPOINT_URL": f"http{'s' if os.environ.get('USE_SSL') else ''}://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        **execution_credentials({**role, "Role": container.get("jobRoleArn", "")}),
        **{one["name"]: one["value"] for one in given},
        "AWS_BATCH_JQ_NAME": job["jobQueue"].rpartition("/")[2],
    }
    if "arrayProperties" in job:
        variables["AWS_BATCH_JOB_ARRAY_SIZE"] = str(len(children))
    attempts = definition["retryStrategy"].get("attempts", 1)
    with ThreadPoolExecutor(JOBS_AT_ONCE) as pool:
        codes = list(pool.map(lambda child: _run(child, container["command"], variables, attempts), children))
    job.update(status="FAILED" if any(codes) else "SUCCEEDED", stoppedAt=int(time.time() * 1000))


def _run(job: Any, command: list[str], variables: dict[str, str], attempts: int) -> int:
    """The exit code of a job's last attempt."""
    own = {"AWS_BATCH_JOB_ID": job["jobId"]}
    if "index" in job.get("arrayProperties", {}):
        own["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job["arrayProperties"]["index"])
    code = 1
    for attempt in range(1, attempts + 1):
        environment = {**variables, **own, "AWS_BATCH_JOB_ATTEMPT": str(attempt)}
        try:
            code = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
        except OSError:  # no such program, which a container could not start either
            code = 127
        if code == 0:
            break
    job.update(status="FAILED" if code else "SUCCEEDED", container={"exitCode": code})
    return code


def _submit_and_wait(resource: str, given: dict[str, Any]) -> Any:
    status, _, body = submit_job(states._convert_keys_to_camel(given))  # noqa: SLF001
    answer = json.loads(body)
    if status != 200:  # noqa: PLR2004 - HTTP
        raise states._ExecutionError("Batch.ClientException", answer["message"])  # noqa: SLF001
    if not resource.endswith(".sync"):
        return states._convert_keys_to_sfn_convention(answer)  # noqa: SLF001
    job = batch._jobs[answer["jobId"]]  # noqa: SLF001
    while job["status"] not in ENDED:
        time.sleep(0.02)
    detail = states._convert_keys_to_sfn_convention(job)  # noqa: SLF001
    if job["status"] == "FAILED":
        raise states._ExecutionError("States.TaskFailed", json.dumps(detail))  # noqa: SLF001
    return detail


def install() -> None:
    """Put it into ministack."""
    batch._DISPATCH["/v1/registerjobdefinition"] = register_job_definition  # noqa: SLF001
    batch._DISPATCH["/v1/submitjob"] = submit_job  # noqa: SLF001
    states._SERVICE_DISPATCH["arn:aws:states:::batch:submitJob"] = _submit_and_wait  # noqa: SLF001
