"""The function's role may read its model and nothing else, by IAM's own simulator."""

import json
from typing import Any, Final

from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment, UnknowableError

VERSION_KEY: Final = "s3:VersionId"
OTHER: Final = "lambda-llm-verify"
"""A name that nothing has."""


def _ask(deployment: Deployment) -> Finding:
    configuration = deployment.configuration
    role = configuration["Role"]
    try:
        variables = configuration["Environment"]["Variables"]
        bucket, key = parse_object(variables["LAMBDA_LLM_MODEL"])
        version = variables["LAMBDA_LLM_MODEL_VERSION_ID"]
    except KeyError as error:
        return unknown(f"Which object the role should read is not known: the function's settings do not name {error}.")
    partition = role.split(":")[1]
    model = f"arn:{partition}:s3:::{bucket}/{key}"

    def allowed(action: str, resource: str, version: str | None = None) -> bool:
        return _simulated(deployment, role, action, resource, version)

    if not allowed("s3:GetObjectVersion", model, version):
        return wrong(f"The role may not read its model ({model}, version {version}): its next init will fail.")
    function = configuration["FunctionArn"].rpartition(":")[0]
    tried = {
        "another version of the model": ("s3:GetObjectVersion", model, OTHER),
        "another key": ("s3:GetObjectVersion", f"{model}.{OTHER}", version),
        "another bucket": ("s3:GetObjectVersion", f"arn:{partition}:s3:::{OTHER}/{key}", version),
        "writing the model": ("s3:PutObject", model, None),
        "deleting the model": ("s3:DeleteObjectVersion", model, version),
        "deleting it without its version": ("s3:DeleteObject", model, None),
        "the bucket's policy": ("s3:PutBucketPolicy", f"arn:{partition}:s3:::{bucket}", None),
        "invoking functions": ("lambda:InvokeFunction", function, None),
        "changing itself": ("lambda:UpdateFunctionConfiguration", function, None),
        "its own role": ("iam:PutRolePolicy", role, None),
        "other roles": ("sts:AssumeRole", f"{role}-{OTHER}", None),
        "secrets": ("secretsmanager:GetSecretValue", "*", None),
        "parameters": ("ssm:GetParameter", "*", None),
        "tables": ("dynamodb:Scan", "*", None),
    }
    open_to = [what for what, request in tried.items() if allowed(*request)]
    if "another version of the model" in open_to and not _heeds_conditions(deployment, model):
        return unknown("IAM's simulator takes no notice of conditions here, on which the role's one version depends.")
    figures = {"tried": len(tried) + 1, "allowed_beside_the_model": open_to}
    if open_to:
        return wrong(f"The role may more than read its model: {', '.join(open_to)}: take it away.", **figures)
    return ok(f"Its model's version is allowed, {len(tried)} other requests are denied.", **figures)


def _simulated(deployment: Deployment, role: str, action: str, resource: str, version: str | None) -> bool:
    said = deployment.aws.call(
        "iam",
        "SimulatePrincipalPolicy",
        PolicySourceArn=role,
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=_context(version),
    )
    return bool(said["EvaluationResults"][0]["EvalDecision"] == "allowed")


def _heeds_conditions(deployment: Deployment, model: str) -> bool:
    """Whether the simulator refuses what a condition refuses."""
    statement = {
        "Effect": "Allow",
        "Action": "s3:GetObjectVersion",
        "Resource": model,
        "Condition": {"StringEqualsIfExists": {VERSION_KEY: "one"}},
    }
    try:
        said = deployment.aws.call(
            "iam",
            "SimulateCustomPolicy",
            PolicyInputList=[json.dumps({"Version": "2012-10-17", "Statement": [statement]})],
            ActionNames=["s3:GetObjectVersion"],
            ResourceArns=[model],
            ContextEntries=_context("another"),
        )
    except UnknowableError:
        return True  # AWS's does
    return bool(said["EvaluationResults"][0]["EvalDecision"] != "allowed")


def _context(version: str | None) -> list[dict[str, Any]]:
    if version is None:
        return []
    return [{"ContextKeyName": VERSION_KEY, "ContextKeyValues": [version], "ContextKeyType": "string"}]


PROBE = Probe("role", "Is its role refused elsewhere?", _ask)
