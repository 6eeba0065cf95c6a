"""What botocore's S3 clients need besides their configuration."""

from typing import Any


def redirect_once(client: Any) -> None:
    """Keep a client from following redirects without end.

    For a redirect that does not name the bucket's region, botocore asks for it with HeadBucket, whose own redirect it
    follows in the same way, until Python's stack is full. Some S3-compatible stores answer so, and proxies.
    """

    def already_redirected(params: dict[str, Any], **_: Any) -> None:
        params["context"].setdefault("s3_redirect", {})["redirected"] = True

    client.meta.events.register("before-call.s3.HeadBucket", already_redirected)


def close(client: Any) -> None:
    """Close a client and its idle connections now; `client.close` leaves the latter to the garbage collector."""
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    pools = getattr(getattr(session, "_manager", None), "pools", {})
    for key in list(pools.keys()):
        pools[key].close()
    client.close()
