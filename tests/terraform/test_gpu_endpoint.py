"""The stacks of CloudFormation in modules/gpu-endpoint: what a plan of each has is what cfn-lint and the services know.

No local AWS has SageMaker or GPUs. A template is held against CloudFormation's registry, as cfn-lint has it, and each
resource against the model of the call that CloudFormation makes, as botocore has it. What the registry does not know
yet is in `NOT_IN_REGISTRY`, and botocore must know it.
"""

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from scripts.local_aws import terraform
from support.modules import ROOT, TERRAFORM_FROM
from support.policies import PROVIDER

pytestmark = pytest.mark.needs("terraform", get=TERRAFORM_FROM)

REGION = "us-east-1"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/11111111-2222-3333-4444-555555555555"
VPC = '{ subnet_ids = ["subnet-0a1b2c3d", "subnet-1a2b3c4d"], security_group_ids = ["sg-0a1b2c3d"] }'
COMMON = {
    "name": '"big"',
    "image": f'"763104351884.dkr.ecr.{REGION}.amazonaws.com/vllm:server-sagemaker-cuda-v1"',
    "model": '{ bucket = "my-models", key = "models/llama/" }',
    "environment": '{ SM_VLLM_MAX_MODEL_LEN = "32768" }',
}
FORMS = {
    "sagemaker": {"kind": '"sagemaker"', "sagemaker": '{ instance_type = "ml.g6.xlarge" }'},
    "sagemaker-all": {
        "kind": '"sagemaker"',
        "server": '"llama.cpp"',
        "model": '{ bucket = "my-models", key = "models/llama.gguf" }',
        "sagemaker": """{
    instance_type = "ml.p3.2xlarge"
    ami           = "al2-ami-sagemaker-inference-gpu-3-1"
    cpu_cores     = 4
  }""",
        "vpc": VPC,
        "kms_key_arn": f'"{KEY}"',
        "copies": "{ min = 1, max = 4 }",
        "tags": '{ team = "search" }',
    },
    "lambda": {"kind": '"lambda-gpu"', "lambda_gpu": "{ gpu_memory_gb = 24 }", "vpc": VPC},
    "lambda-all": {
        "kind": '"lambda-gpu"',
        "lambda_gpu": '{ gpu_memory_gb = 48, memory_mb = 32768, instance_types = ["g6e.2xlarge"], timeout = 600 }',
        "vpc": VPC,
        "kms_key_arn": f'"{KEY}"',
        "copies": "{ min = 1, max = 4, requests = 32 }",
        "tags": '{ team = "search" }',
    },
}
"""Each kind with as little and with as much as it takes."""

NOT_IN_REGISTRY = {("AWS::Lambda::Function", "AcceleratorConfig")}
"""Properties that the registry in cfn-lint 1.58.0 lacks; AWS documents them, and botocore's CreateFunction has them."""

CALLS = {
    "AWS::SageMaker::Model": ("sagemaker", "CreateModel"),
    "AWS::SageMaker::EndpointConfig": ("sagemaker", "CreateEndpointConfig"),
    "AWS::SageMaker::Endpoint": ("sagemaker", "CreateEndpoint"),
    "AWS::SageMaker::InferenceComponent": ("sagemaker", "CreateInferenceComponent"),
    "AWS::Lambda::CapacityProvider": ("lambda", "CreateCapacityProvider"),
    "AWS::Lambda::Function": ("lambda", "CreateFunction"),
    "AWS::Lambda::Version": ("lambda", "PublishVersion"),
    "AWS::Lambda::Alias": ("lambda", "CreateAlias"),
}
"""The call that creates a resource of CloudFormation, by its type."""

ELSEWHERE = {
    ("AWS::Lambda::Version", "FunctionScalingConfig"): ("lambda", "PutFunctionScalingConfig"),
}
"""Properties that CloudFormation sets by another call than the one that creates the resource."""

SPELLED = {("AWS::Lambda::Function", "KmsKeyArn"): "KMSKeyArn"}
"""Properties whose names CloudFormation spells otherwise than the call."""

LEFT_TO_CLOUDFORMATION = {
    "AWS::SageMaker::Model": {"ModelName"},
    "AWS::SageMaker::EndpointConfig": {"EndpointConfigName"},
    "AWS::Lambda::CapacityProvider": {"CapacityProviderName"},
}
"""Required names that CloudFormation makes up, so that a replacement does not collide with what it replaces."""


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The planned templates, by form: two releases of one function besides."""
    folder = tmp_path_factory.mktemp("gpu")
    forms = {**FORMS, "lambda-next": FORMS["lambda"] | {"image": COMMON["image"].replace("-v1", "-v2")}}
    calls = [
        f'module "{form}" {{\n  source = "{ROOT}//modules/gpu-endpoint"\n'
        + "".join(f"  {key} = {value}\n" for key, value in (COMMON | given).items())
        + "}\n"
        for form, given in forms.items()
    ]
    (folder / "main.tf").write_text(PROVIDER + "\n".join(calls), encoding="utf-8")
    terraform.run(folder, "init", "-backend=false")
    terraform.run(folder, "plan", "-out=plan", "-refresh=false")
    planned = json.loads(terraform.run(folder, "show", "-json", "plan"))
    return {
        module["address"].removeprefix("module."): json.loads(resource["values"]["template_body"])
        for module in planned["planned_values"]["root_module"]["child_modules"]
        for resource in module["resources"]
        if resource["type"] == "aws_cloudformation_stack"
    }


def findings(template: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What cfn-lint finds: its rule, and the type and property of the resource, or the whole message."""
    # Errors and warnings; without a region, also what some region of the world lacks.
    for match in lint(json.dumps(template), config=ManualArgs(regions=[REGION])):
        where = list(match.path or [])
        kind = template["Resources"][where[1]]["Type"] if where[:1] == ["Resources"] else ""
        yield match.rule.id, kind, str(where[-1]) if kind else match.message


@pytest.mark.parametrize("form", FORMS)
def test_cfn_lint_finds_nothing_but_what_the_registry_lacks(form: str, templates: dict[str, dict[str, Any]]) -> None:
    template = templates[form]
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    expected = {("E3002", kind, name) for kind, name in NOT_IN_REGISTRY if kind in kinds}
    assert set(findings(template)) == expected


def test_cfn_lint_would_find_another_name(templates: dict[str, dict[str, Any]]) -> None:
    template = json.loads(json.dumps(templates["sagemaker"]))
    template["Resources"]["InferenceComponent"]["Properties"]["Specification"]["Accelerators"] = 1
    assert set(findings(template)) == {("E3002", "AWS::SageMaker::InferenceComponent", "Accelerators")}


def wrong(value: Any, shape: Shape, path: str, left: Collection[str] = ()) -> Iterator[str]:
    """What of a value a call's model does not have, or misses; `left` may be missing."""
    if isinstance(value, dict) and ("Ref" in value or "Fn::GetAtt" in value):
        return
    if isinstance(shape, StructureShape):
        yield from (f"{path}.{name} is unknown" for name in value if name not in shape.members)
        yield from (f"{path}.{name} is missing" for name in shape.required_members if name not in {*value, *left})
        for name in set(value) & set(shape.members):
            yield from wrong(value[name], shape.members[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for one in value:
            yield from wrong(one, shape.member, f"{path}[]")
    elif isinstance(shape, MapShape):
        # CloudFormation writes tags as a list, whatever the call takes.
        texts = {one["Key"]: one["Value"] for one in value} if path.endswith(".Tags") else value
        yield from (f"{path}.{key} is no text" for key, text in texts.items() if not isinstance(text, str))
    elif not possible(value, shape):
        yield f"{path}: {value}"


def possible(value: Any, shape: Shape) -> bool:
    """Whether a scalar is one that a call's model allows."""
    if "enum" in shape.metadata:
        return value in shape.metadata["enum"]
    if shape.type_name in {"integer", "long", "float", "double"}:
        return bool(shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value))
    return isinstance(value, {"string": str, "boolean": bool}[shape.type_name])


@pytest.fixture(scope="module")
def called() -> Callable[[str, str], StructureShape]:
    """The input of a call, by service and name."""
    session = Session()

    def shape(service: str, operation: str) -> StructureShape:
        found = session.get_service_model(service).operation_model(operation).input_shape
        assert found is not None
        return found

    return shape


def of_calls(kind: str, properties: dict[str, Any]) -> tuple[dict[str, Any], dict[tuple[str, str], dict[str, Any]]]:
    """Properties as the calls name them: those of the creating call, and those of others."""
    own, others = {}, {}
    for name, value in properties.items():
        if (kind, name) in ELSEWHERE:
            others[ELSEWHERE[kind, name]] = {name: value}
        else:
            own[SPELLED.get((kind, name), name)] = value
    return own, others


@pytest.mark.parametrize("form", FORMS)
def test_every_property_is_one_of_the_service_s_own_call(
    form: str, templates: dict[str, dict[str, Any]], called: Callable[[str, str], StructureShape]
) -> None:
    for name, resource in templates[form]["Resources"].items():
        kind = resource["Type"]
        own, others = of_calls(kind, resource["Properties"])
        assert list(wrong(own, called(*CALLS[kind]), name, LEFT_TO_CLOUDFORMATION.get(kind, set()))) == []
        for call, value in others.items():
            assert list(wrong(value, called(*call), name, {"FunctionName", "Qualifier"})) == []


def test_what_the_registry_lacks_is_in_the_call(called: Callable[[str, str], StructureShape]) -> None:
    for kind, name in NOT_IN_REGISTRY:
        assert name in called(*CALLS[kind]).members


def test_a_name_or_value_that_a_call_lacks_is_found(called: Callable[[str, str], StructureShape]) -> None:
    value = {
        "InferenceComponentName": "big",
        "Specification": {"ComputeResourceRequirements": {"NumberOfAcceleratorDevicesRequired": 0}, "Model": "big"},
        "RuntimeConfig": {"CopyCount": 0},
    }
    assert set(wrong(value, called("sagemaker", "CreateInferenceComponent"), "c")) == {
        "c.EndpointName is missing",
        "c.Specification.Model is unknown",
        "c.Specification.ComputeResourceRequirements.MinMemoryRequiredInMb is missing",
        "c.Specification.ComputeResourceRequirements.NumberOfAcceleratorDevicesRequired: 0",
    }


def test_another_image_is_another_version_of_the_function(templates: dict[str, dict[str, Any]]) -> None:
    """CloudFormation publishes a version only where there is a new resource."""
    versions = [
        {name for name, resource in templates[form]["Resources"].items() if resource["Type"] == "AWS::Lambda::Version"}
        for form in ("lambda", "lambda-next")
    ]
    assert [len(one) for one in versions] == [1, 1]
    assert versions[0] != versions[1]


def test_a_template_has_no_secret_and_what_a_plan_can_t_know_is_a_parameter(
    templates: dict[str, dict[str, Any]],
) -> None:
    for form, template in templates.items():
        expected = {"RoleArn", "OperatorRoleArn"} if form.startswith("lambda") else {"RoleArn"}
        assert set(template["Parameters"]) == expected
