"""Start ministack with what it lacks for this project; runs in ministack's own environment (.build/aws-local).

ministack 1.5.33 runs Python functions as processes of this machine. Added here, so that the modules need no
exceptions:

- IAM's condition key `s3:VersionId`, which restricts a role to one version of an object.
- ARNs of log groups as in policies, ending in `:*` (docs.aws.amazon.com/AmazonCloudWatch/latest/logs/
  iam-access-control-overview-cwl.html).
- The Lambda Web Adapter: ministack knows neither layers' extensions nor exec wrappers. A function that sets
  `AWS_LAMBDA_EXEC_WRAPPER` gets `web_adapter` as its handler, which emulates the adapter.
- A version being published has `LastUpdateStatus` `InProgress`, as on AWS and as Terraform polls for,
  and an alias can't be moved to a version whose init failed.
- An alias with weights distributes a Function URL's requests over its versions.
- A function's reserved concurrency limits the invocations of its versions and aliases too.
- A Function URL with invoke mode RESPONSE_STREAM returns the adapter's status, headers and body.
- REST APIs by OpenAPI documents, and API keys that an authorizer names: see `ministack_api_gateway`.
- AWS Batch's jobs run, as processes: see `ministack_batch`.
- Step Functions' concurrency by a path, jitter, and throttled functions: see `ministack_step_functions`.
- CloudWatch's alarms in XML have all that was set, and queries are saved: see `ministack_cloudwatch`.
- IAM's actions of an alias that exists: `GetAlias`, `UpdateAlias`, `DeleteAlias`; that of a streaming invocation; those
  that list a function's URLs and its provisioned concurrency.
- A Function URL with IAM tells the function who signed the request (docs.aws.amazon.com/lambda/latest/dg/
  urls-invocation.html).
- A Function URL of an alias names it in its ARN, and provisioned concurrency can be listed.
- No second listener on port 443, which ministack opens where it can, and no health page of its own that hides a
  function's.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import ministack_api_gateway
import ministack_batch
import ministack_cloudwatch
import ministack_step_functions
from ministack import app
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.core.responses import error_response_json, json_response
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc

LOG_GROUP_COLONS = 6
"""In arn:aws:logs:REGION:ACCOUNT:log-group:NAME."""

_service_context = iam_actions.s3_service_context
_resource_arn = iam_actions.extract_resource_arn
_lambda_action = iam_actions._lambda_action  # noqa: SLF001 - none of this has a public API
_start_worker = lambda_runtime.Worker.__init__
_provision = lambda_svc._snapstart_provision_version_async  # noqa: SLF001
_create_alias, _update_alias = lambda_svc._create_alias, lambda_svc._update_alias  # noqa: SLF001
_reserved_concurrency = lambda_svc._reserved_concurrency  # noqa: SLF001
_record_of = lambda_svc._effective_func_record_for_qualifier  # noqa: SLF001
_stream_response = lambda_svc._function_url_stream_response  # noqa: SLF001
_build_url_event = lambda_svc._build_function_url_event  # noqa: SLF001
_create_url = lambda_svc._create_function_url_config  # noqa: SLF001
_provisioned = lambda_svc._get_provisioned_concurrency  # noqa: SLF001


def _with_version(
    iam_action: str, query_params: dict[str, Any] | None, path: str = "", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    context: dict[str, Any] = _service_context(iam_action, query_params, path, headers)
    given = (query_params or {}).get("versionId")
    version = given[0] if isinstance(given, list) else given
    return {**context, "s3:VersionId": version} if version else context


def _arn_as_in_policies(service: str, *request: Any) -> str:
    arn = str(_resource_arn(service, *request))
    return f"{arn}:*" if service == "logs" and ":log-group:" in arn and arn.count(":") == LOG_GROUP_COLONS else arn


def _action_on_alias(method: str, path: str) -> str | None:
    *_, collection, name = ["", *path.strip("/").split("/")]
    if name == "response-streaming-invocations":
        return "InvokeFunction"
    listed = {"urls": "ListFunctionUrlConfigs", "provisioned-concurrency": "ListProvisionedConcurrencyConfigs"}
    if method == "GET" and name in listed:
        return listed[name]
    if collection == "aliases" and name:
        return {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}.get(method)
    action: str | None = _lambda_action(method, path)
    return action


def _worker_with_adapter(self: Any, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
    variables = config.get("Environment", {}).get("Variables", {})
    if "AWS_LAMBDA_EXEC_WRAPPER" in variables:
        config = {**config, "Handler": "web_adapter.handle"}
    _start_worker(self, func_name, config, code_zip)


class _Version(dict[str, Any]):
    """The configuration of a published version, whose `LastUpdateStatus` follows its `State`."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        follows = {"StateReason": "LastUpdateStatusReason", "StateReasonCode": "LastUpdateStatusReasonCode"}
        if name == "State":
            super().__setitem__(
                "LastUpdateStatus", {"Active": "Successful", "Failed": "Failed"}.get(value, "InProgress")
            )
        elif name in follows:
            super().__setitem__(follows[name], value)


def _provision_with_status(name: str, record: dict[str, Any]) -> None:
    record["config"] = _Version(record["config"])
    record["config"]["State"] = "Pending"
    _provision(name, record)


def _unless_failed(change: Callable[..., Any]) -> Callable[..., Any]:
    def changed(func_name: str, *arguments: Any) -> Any:
        version = arguments[-1].get("FunctionVersion")
        record = lambda_svc._functions.get(func_name, {}).get("versions", {}).get(version)  # noqa: SLF001
        if record and record["config"]["State"] == "Failed":
            return error_response_json(
                "ResourceConflictException",
                "The operation cannot be performed at this time. The function is currently in the following state: "
                "'Failed', StateReasonCode: 'FunctionError'",
                409,
            )
        return change(func_name, *arguments)

    return changed


def _record_by_weight(function: Any, qualifier: str | None) -> Any:
    alias = (function or {}).get("aliases", {}).get(qualifier, {})
    for version, weight in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}).items():
        if random.random() < weight:  # noqa: S311 - load balancing, no secret
            return _record_of(function, version)
    return _record_of(function, qualifier)


def _reserved_of_function(record: Any, config: dict[str, Any]) -> Any:
    return _reserved_concurrency(lambda_svc._functions.get(config.get("FunctionName")) or record, config)  # noqa: SLF001


def _adapter_response(result: dict[str, Any], cors_headers: dict[str, str]) -> tuple[Any, ...]:
    response = result.get("body")
    if isinstance(response, dict) and "statusCode" in response:
        prelude = json.dumps({"statusCode": response["statusCode"], "headers": response["headers"]}).encode()
        result = {**result, "body": prelude + b"\0" * 8 + response["body"].encode()}
    streamed: tuple[Any, ...] = _stream_response(result, cors_headers)
    return streamed


def _event_with_caller(*arguments: Any, **named: Any) -> dict[str, Any]:
    event: dict[str, Any] = _build_url_event(*arguments, **named)
    *_, headers, _body, query = arguments
    caller = (
        None if named["anonymous"] else iam_evaluator.resolve_caller_identity(extract_access_key_id(headers, query))
    )
    if caller is not None:
        told = {name: caller[name] for name in ("accessKey", "accountId", "principalOrgId", "userArn", "userId")}
        event["requestContext"]["authorizer"] = {"iam": {**told, "callerId": caller["userId"], "cognitoIdentity": None}}
    return event


def _url_of_alias(func_name: str, data: dict[str, Any], qualifier: str | None) -> Any:
    created = _create_url(func_name, data, qualifier)
    config = lambda_svc._function_urls.get(lambda_svc._url_config_key(func_name, qualifier))  # noqa: SLF001
    if config and qualifier and not config["FunctionArn"].endswith(f":{qualifier}"):
        config["FunctionArn"] += f":{qualifier}"
        return json_response(config, status=created[0])
    return created


def _provisioned_of_all(func_name: str, qualifier: str | None) -> Any:
    function = lambda_svc._functions.get(func_name)  # noqa: SLF001
    if qualifier or function is None:
        return _provisioned(func_name, qualifier)
    configs = [
        {**config, "FunctionArn": f"{lambda_svc._func_arn(func_name)}:{name}"}  # noqa: SLF001
        for name, config in function.get("provisioned_concurrency", {}).items()
    ]
    return json_response({"ProvisionedConcurrencyConfigs": configs})


iam_actions.s3_service_context = _with_version
iam_actions.extract_resource_arn = _arn_as_in_policies
iam_actions._lambda_action = _action_on_alias  # noqa: SLF001
lambda_runtime.Worker.__init__ = _worker_with_adapter
lambda_svc._snapstart_provision_version_async = _provision_with_status  # noqa: SLF001
lambda_svc._create_alias = _unless_failed(_create_alias)  # noqa: SLF001
lambda_svc._update_alias = _unless_failed(_update_alias)  # noqa: SLF001
lambda_svc._reserved_concurrency = _reserved_of_function  # noqa: SLF001
lambda_svc._effective_func_record_for_qualifier = _record_by_weight  # noqa: SLF001
lambda_svc._function_url_stream_response = _adapter_response  # noqa: SLF001
lambda_svc._build_function_url_event = _event_with_caller  # noqa: SLF001
lambda_svc._create_function_url_config = _url_of_alias  # noqa: SLF001
lambda_svc._get_provisioned_concurrency = _provisioned_of_all  # noqa: SLF001
ministack_api_gateway.install()
ministack_batch.install()
ministack_cloudwatch.install()
ministack_step_functions.install()
app._port_is_bindable = lambda *_: False  # noqa: SLF001
app._HEALTH_PATHS = ("/_ministack/health",)  # noqa: SLF001

if __name__ == "__main__":
    app.main()
