"""The runtime check of the invariants: the last of three, after the Terraform module and the policies."""

from collections.abc import Mapping

from lambda_llm import limits
from lambda_llm.inference.errors import InvariantError


def check_invariants(environment: Mapping[str, str]) -> None:
    """Return outside Lambda, and on Lambda if the function satisfies the invariants.

    Checks only what an environment can see of itself. A variable that the host does not set (a local emulation of
    Lambda) passes.

    Args:
        environment: the process's environment variables.

    Raises:
        InvariantError: names every invariant that is violated.

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
