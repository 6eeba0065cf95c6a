"""The runtime's own look at the invariants: the last of three guards, after the module and the policies."""

from collections.abc import Mapping

from lambda_llm import limits
from lambda_llm.inference.errors import InvariantError


def check_invariants(environment: Mapping[str, str]) -> None:
    """Return at once outside Lambda; on Lambda, only when the function may serve.

    Only what an environment can see of itself is looked at. A variable that the host does not set (a local
    stand-in for Lambda) proves nothing and passes.

    Args:
        environment: the process's variables.

    Raises:
        InvariantError: names every invariant that is broken.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    if "AWS_LAMBDA_FUNCTION_NAME" not in environment:
        return
    broken = []
    memory = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    if memory is not None and memory != str(limits.MEMORY_MB):
        broken.append(f"memory is {memory} MB instead of {limits.MEMORY_MB}")
    initialization = environment.get("AWS_LAMBDA_INITIALIZATION_TYPE")
    if initialization is not None and initialization != "snap-start":
        broken.append(
            f"it was initialized as {initialization!r} instead of 'snap-start' (publish a version, and send traffic "
            "through the alias only)"
        )
    if broken:
        raise InvariantError(
            f"This Lambda function can't serve a model: {'; '.join(broken)}. Use the project's Terraform module "
            "`inference`, which sets what is needed."
        )
