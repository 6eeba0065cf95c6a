"""The rule for CloudFront in front of an inference function's URL: it signs for its viewers, and knows them."""

from collections.abc import Mapping
from typing import Any, Final

from lambda_llm.policies.access import URL
from lambda_llm.policies.function import equals, every, is_inference
from lambda_llm.policies.graph import FUNCTION, Resource
from lambda_llm.policies.rules import Severity, rule
from lambda_llm.policies.values import argument, blocks, is_known

DISTRIBUTION: Final = "aws_cloudfront_distribution"
SIGNING: Final = "aws_cloudfront_origin_access_control"

OF_URLS: Final = ".lambda-url."
"""In the domain name of every Function URL."""


def shows_inference(distribution: Resource) -> bool | None:
    """Whether an origin of a distribution is the URL of an inference function; None if that can't be told."""
    urls = [one for one in distribution.referred("origin") if one.kind == URL]
    owners = [one.function() for one in urls]
    if any(owner is not None and is_inference(owner) for owner in owners):
        return True
    by_name = any(OF_URLS in str(argument(one, "domain_name")) for one in blocks(distribution.block, "origin"))
    if not (by_name and not urls) and None not in owners:
        return False
    return None if any(is_inference(one) for one in distribution.siblings(FUNCTION)) else False


@rule(
    21,
    Severity.CRITICAL,
    "CloudFront in front of an inference function signs every request, and is not open to everyone",
    DISTRIBUTION,
    applies=shows_inference,
)
def signs_and_knows(distribution: Resource) -> bool | None:
    """Lambda knows the distribution and not its viewers, so who they are must be asked before."""
    origins = blocks(distribution.block, "origin")
    controls = [one for one in distribution.referred("origin") if one.kind == SIGNING]
    signed = [_is_given(one, "origin_access_control_id") for one in origins if _may_be_a_url(one)]
    signing = [equals(one.get("signing_behavior"), "always") for one in controls]
    return every(*signed, *signing, *(_knows(distribution, one) for one in _behaviors(distribution)))


def _may_be_a_url(origin: Mapping[str, Any]) -> bool:
    domain = argument(origin, "domain_name")
    return domain is None or not is_known(domain) or OF_URLS in str(domain) or f"{URL}." in str(domain)


def _behaviors(distribution: Resource) -> list[Mapping[str, Any]]:
    return [
        one for name in ("default_cache_behavior", "ordered_cache_behavior") for one in blocks(distribution.block, name)
    ]


def _knows(distribution: Resource, behavior: Mapping[str, Any]) -> bool | None:
    """Whether viewers need a signature, or pass a web ACL."""
    if distribution.get("web_acl_id"):
        return True
    return any(argument(behavior, name) not in (None, [], "") for name in ("trusted_key_groups", "trusted_signers"))


def _is_given(block: Mapping[str, Any], name: str) -> bool:
    return argument(block, name) not in (None, "")
