"""Whose a request is: what IAM or an authorizer says of it, never what it says itself."""

from lambda_llm.router.config import Configuration
from lambda_llm.router.errors import UnknownError
from lambda_llm.router.settings import Identity
from lambda_llm.web.origin import Origin


def tenant_of(identity: Identity, origin: Origin, configuration: Configuration) -> str:
    """The tenant of a request.

    Args:
        identity: who is asked.
        origin: as the front door tells it.
        configuration: which principals are whose.

    Raises:
        UnknownError: the front door knows nothing of the sender.
    """
    if identity is Identity.IAM:
        if origin.principal is None:
            raise UnknownError(
                "tenant",
                "Nobody has signed this request: send it to the router's Function URL, signed with AWS credentials.",
            )
        return configuration.tenant_of(origin.principal)
    if origin.tenant is None:
        raise UnknownError(
            "tenant",
            "The authorizer in front of this router knows nothing of this request: send it to the API's address, with "
            "a key.",
        )
    return origin.tenant
