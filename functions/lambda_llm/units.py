"""Numbers as people read them."""

from lambda_llm.limits import MIB


def megabytes(count: int) -> str:
    """Bytes as MB in Lambda's sense: 10,240 MB are 10 GiB."""
    return f"{count / MIB:,.1f} MB" if count < 100 * MIB else f"{count / MIB:,.0f} MB"
