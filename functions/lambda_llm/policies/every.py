"""Imports every module that holds rules, so that `RULES` is whole."""

from lambda_llm.policies import access, durable, function, pruning, reads
from lambda_llm.policies.rules import RULES

__all__ = ["RULES", "access", "durable", "function", "pruning", "reads"]
