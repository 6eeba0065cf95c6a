"""Rules for the inference function's arguments: the one configuration in which a model runs well."""

from collections.abc import Callable
from typing import Any, Final

from lambda_llm import limits
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.marks import Kind, kind_of
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, blocks, is_known

CONCURRENCY: Final = "aws_lambda_provisioned_concurrency_config"


def is_inference(resource: Resource) -> bool:
    """Whether a resource is an inference function."""
    return kind_of(resource) is Kind.INFERENCE


def answers_models(resource: Resource) -> bool:
    """Whether a resource is a function that callers ask for models: one for inference, or a router."""
    return kind_of(resource) in {Kind.INFERENCE, Kind.ROUTER}


def of_inference(resource: Resource, name: str = "function_name") -> bool | None:
    """Whether a resource belongs to an inference function.

    Args:
        resource: Whose argument names the function.
        name: The argument.

    Returns:
        None if that can't be told, and there is an inference function in the stack.
    """
    return _of(resource, name, is_inference)


def of_models(resource: Resource) -> bool | None:
    """Whether a resource belongs to a function that callers ask for models, named by `function_name`.

    Args:
        resource: Whose argument names the function.

    Returns:
        None if that can't be told, and there is such a function in the stack.
    """
    return _of(resource, "function_name", answers_models)


def _of(resource: Resource, name: str, belongs: Callable[[Resource], bool]) -> bool | None:
    function = resource.function(name)
    if function is not None:
        return belongs(function)
    if is_known(resource.get(name)):
        return False
    return None if any(belongs(one) for one in resource.siblings(FUNCTION)) else False


def equals(value: Any, wanted: Any) -> bool | None:
    """Compare if the value is known; Terraform accepts numbers and booleans as strings, too."""
    if not is_known(value):
        return None
    return str(value).lower() == str(wanted).lower()


def every(*verdicts: bool | None) -> bool | None:
    """Three-valued AND: False if any is False, else None if any is None, else True."""
    if False in verdicts:
        return False
    return None if None in verdicts else True


@rule(1, Severity.HIGH, f"An inference function has {limits.MEMORY_MB:,} MB of memory", FUNCTION, applies=is_inference)
def memory(function: Resource) -> bool | None:
    """Lambda allocates CPUs in proportion to memory."""
    return equals(function.get("memory_size"), limits.MEMORY_MB)


@rule(2, Severity.HIGH, f"An inference function runs on {limits.ARCHITECTURE}", FUNCTION, applies=is_inference)
def architecture(function: Resource) -> bool | None:
    """The package contains arm64 libraries only."""
    value = function.get("architectures")
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    return equals(only, limits.ARCHITECTURE)


@rule(
    3,
    Severity.HIGH,
    "An inference function has SnapStart on its published versions, and publishes them",
    FUNCTION,
    applies=is_inference,
)
def snapstart(function: Resource) -> bool | None:
    """`$LATEST` is never snapshotted."""
    given = blocks(function.block, "snap_start")
    applied = equals(argument(given[0], "apply_on"), limits.SNAPSTART_APPLY_ON) if given else False
    return every(applied, equals(function.get("publish"), wanted=True))


@rule(
    4,
    Severity.HIGH,
    f"An inference function keeps /tmp at {limits.EPHEMERAL_STORAGE_MB} MB",
    FUNCTION,
    applies=is_inference,
)
def ephemeral_storage(function: Resource) -> bool | None:
    """SnapStart does not support more."""
    sizes = [argument(given, "size") for given in blocks(function.block, "ephemeral_storage")]
    return every(*(size is None or equals(size, limits.EPHEMERAL_STORAGE_MB) for size in sizes))


def has_runtime(function: Resource) -> bool:
    """Whether a function is an inference function, and not an image, which has no runtime."""
    return is_inference(function) and package_type(function) is not False


@rule(5, Severity.HIGH, f"An inference function's runtime is {limits.RUNTIME}", FUNCTION, applies=has_runtime)
def runtime(function: Resource) -> bool | None:
    """The package is built for one version of Python; an image is reported by CKV_LLM_6."""
    return equals(function.get("runtime"), limits.RUNTIME)


@rule(
    6,
    Severity.HIGH,
    "An inference function is a zip package, not a container image",
    FUNCTION,
    applies=is_inference,
)
def package_type(function: Resource) -> bool | None:
    """Zip is Terraform's default."""
    value = function.get("package_type")
    return value is None or equals(value, limits.PACKAGE_TYPE)


@rule(7, Severity.HIGH, "An inference function mounts no file system", FUNCTION, applies=is_inference)
def file_system(function: Resource) -> bool | None:
    """SnapStart does not support one."""
    return not blocks(function.block, "file_system_config")


def configures_concurrency(resource: Resource) -> bool | None:
    """Whether a resource gives an inference function provisioned concurrency, or is such a function without it."""
    if resource.kind == CONCURRENCY:
        return of_inference(resource)
    if not is_inference(resource):
        return False
    owners = [one.function() for one in resource.siblings(CONCURRENCY)]
    return not any(owner is not None and owner.is_resource(resource) for owner in owners)


@rule(
    8,
    Severity.HIGH,
    "An inference function has no provisioned concurrency",
    FUNCTION,
    CONCURRENCY,
    applies=configures_concurrency,
)
def provisioned_concurrency(resource: Resource) -> bool | None:
    """SnapStart does not support it; the finding is reported at the resource that configures it."""
    return resource.kind == FUNCTION
