"""The rule for GPU planes: nobody reaches one from outside, and nobody reads along.

A plane is a resource with the tag `lambda-llm`, whatever its value, or what belongs to one. Stacks of CloudFormation
are judged by their templates, as far as these are known.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lambda_llm.policies.function import equals, every
from lambda_llm.policies.graph import Resource
from lambda_llm.policies.marks import is_marked
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, blocks, is_known, strings

BALANCER: Final = "aws_lb"
LISTENER: Final = "aws_lb_listener"
INGRESS: Final = "aws_vpc_security_group_ingress_rule"
SERVICE: Final = "aws_ecs_service"
TEMPLATE: Final = "aws_launch_template"
MODEL: Final = "aws_sagemaker_model"
ENDPOINT: Final = "aws_sagemaker_endpoint_configuration"
STACK: Final = "aws_cloudformation_stack"

ENCRYPTED: Final = ("HTTPS", "TLS")
"""Protocols of a listener; the others of a load balancer have no TLS."""

EVERYBODY: Final = ("0.0.0.0/0", "::/0")

OWN_DISK: Final = re.compile(r"ml\.(g[5-9]\w*|gr\d\w*|p[4-9]\w*|trn\d\w*|[a-z]+\d[a-z]*d[a-z]*)\.")
"""Instance types with disks of their own, which their hardware encrypts, and for which SageMaker takes no key.
Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html"""

ENCODED: Final = re.compile(r"\$\{jsonencode\((\{.*\})\)\}", re.DOTALL)
"""What checkov leaves of a call of `jsonencode` that it has not evaluated: its argument as Python writes it."""


def is_plane(resource: Resource) -> bool:
    """Whether a resource is a GPU plane's: by its tag, or as the listener of a load balancer that has one."""
    if is_marked(resource):
        return True
    if resource.kind != LISTENER:
        return False
    return any(one.kind == BALANCER and is_marked(one) for one in resource.referred("load_balancer_arn"))


@rule(
    23,
    Severity.CRITICAL,
    "A GPU endpoint is reached from inside and over TLS only, and what it keeps is encrypted",
    BALANCER,
    LISTENER,
    INGRESS,
    SERVICE,
    TEMPLATE,
    MODEL,
    ENDPOINT,
    STACK,
    applies=is_plane,
)
def closed(resource: Resource) -> bool | None:
    """A server of models asks nobody who they are, and reads prompts."""
    return _JUDGES[resource.kind](resource)


def _balancer(resource: Resource) -> bool | None:
    return equals(resource.get("internal"), wanted=True) if resource.get("internal") is not None else False


def _listener(resource: Resource) -> bool | None:
    """One that only sends callers to TLS forwards nothing."""
    actions = blocks(resource.block, "default_action")
    if actions and all(argument(action, "type") in {"redirect", "fixed-response"} for action in actions):
        return True
    return _among(resource.get("protocol"), ENCRYPTED)


def _ingress(resource: Resource) -> bool | None:
    return every(*(_not_everybody(resource.get(name)) for name in ("cidr_ipv4", "cidr_ipv6")))


def _service(resource: Resource) -> bool | None:
    networks = blocks(resource.block, "network_configuration")
    return every(*(_is_off(argument(network, "assign_public_ip")) for network in networks))


def _launch_template(resource: Resource) -> bool | None:
    disks = [disk for mapping in blocks(resource.block, "block_device_mappings") for disk in blocks(mapping, "ebs")]
    networks = blocks(resource.block, "network_interfaces")
    return every(
        *(_is_on(argument(disk, "encrypted")) for disk in disks),
        *(_is_off(argument(network, "associate_public_ip_address")) for network in networks),
    )


def _model(resource: Resource) -> bool | None:
    return _is_on(resource.get("enable_network_isolation"))


def _endpoint(resource: Resource) -> bool | None:
    variants = [
        argument(variant, "instance_type")
        for name in ("production_variants", "shadow_production_variants")
        for variant in blocks(resource.block, name)
    ]
    captured = blocks(resource.block, "data_capture_config")
    return every(
        _disks_encrypted(resource.get("kms_key_arn"), variants),
        *(argument(capture, "kms_key_id") not in (None, "") for capture in captured),
    )


def _stack(resource: Resource) -> bool | None:
    """A template without anything of a GPU plane, such as a network's, is right."""
    template = _parsed(resource.get("template_body"))
    if template is None:
        return None
    return every(*(_DESCRIBED[kind](given) for kind, given in _resources(template) if kind in _DESCRIBED))


def _described_endpoint(properties: Mapping[str, Any]) -> bool | None:
    captured = blocks(properties, "DataCaptureConfig")
    return every(
        _disks_encrypted(
            properties.get("KmsKeyId"), [one.get("InstanceType") for one in blocks(properties, "ProductionVariants")]
        ),
        *(capture.get("KmsKeyId") not in (None, "") for capture in captured),
    )


def _described_permission(properties: Mapping[str, Any]) -> bool | None:
    return every(properties.get("Principal") != "*", properties.get("FunctionUrlAuthType") != "NONE")


_DESCRIBED: Final[Mapping[str, Callable[[Mapping[str, Any]], bool | None]]] = {
    "AWS::SageMaker::Model": lambda given: _is_on(given.get("EnableNetworkIsolation")),
    "AWS::SageMaker::EndpointConfig": _described_endpoint,
    "AWS::Lambda::Url": lambda given: _among(given.get("AuthType"), ("AWS_IAM",)),
    "AWS::Lambda::Permission": _described_permission,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": lambda given: _among(given.get("Scheme"), ("internal",)),
    "AWS::ElasticLoadBalancingV2::Listener": lambda given: _among(given.get("Protocol"), ENCRYPTED),
    "AWS::EC2::SecurityGroupIngress": lambda given: every(
        *(_not_everybody(given.get(name)) for name in ("CidrIp", "CidrIpv6"))
    ),
}
"""Whether a resource of CloudFormation is closed, by its type; others are no part of a plane."""


def _disks_encrypted(key: Any, types: list[Any]) -> bool | None:
    """Whether a key is given, or each instance type (None: serverless, without an instance) encrypts its own disks."""
    if key not in (None, ""):
        return True
    return every(*(_encrypts(kind) for kind in types))


def _encrypts(kind: Any) -> bool | None:
    if kind is None:
        return True
    return bool(OWN_DISK.match(kind)) if isinstance(kind, str) and is_known(kind) else None


def _is_on(value: Any) -> bool | None:
    return False if value is None or value == "" else equals(value, wanted=True)


def _is_off(value: Any) -> bool | None:
    return True if value is None or value == "" else equals(value, wanted=False)


def _among(value: Any, wanted: tuple[str, ...]) -> bool | None:
    if value is None:
        return False
    return str(value) in wanted if isinstance(value, str) and is_known(value) else None


def _not_everybody(cidr: Any) -> bool | None:
    if not is_known(cidr):
        return None
    return cidr not in EVERYBODY


def _parsed(body: Any) -> Mapping[str, Any] | None:
    """A template in JSON, as text or as checkov has evaluated it; None if it can't be read."""
    if isinstance(body, Mapping):
        return body
    texts = strings(body)
    if not texts:
        return None
    encoded = ENCODED.fullmatch(texts[0].strip())
    try:
        found = ast.literal_eval(encoded[1]) if encoded else json.loads(texts[0])
    except (ValueError, SyntaxError):
        return None
    return found if isinstance(found, Mapping) else None


def _resources(template: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for outer in blocks(template, "Resources"):
        for name in outer:
            for one in blocks(outer, name):
                for properties in blocks(one, "Properties") or [{}]:
                    yield str(argument(one, "Type")), properties


_JUDGES: Final[Mapping[str, Callable[[Resource], bool | None]]] = {
    BALANCER: _balancer,
    LISTENER: _listener,
    INGRESS: _ingress,
    SERVICE: _service,
    TEMPLATE: _launch_template,
    MODEL: _model,
    ENDPOINT: _endpoint,
    STACK: _stack,
}
