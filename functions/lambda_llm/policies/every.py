"""Imports every module with rules, so that `RULES` is complete."""

from lambda_llm.policies import access, authorizer, bills, cloudfront, durable, function, gateway, gpu, pruning, reads
from lambda_llm.policies.rules import RULES

__all__ = [
    "RULES",
    "access",
    "authorizer",
    "bills",
    "cloudfront",
    "durable",
    "function",
    "gateway",
    "gpu",
    "pruning",
    "reads",
]
