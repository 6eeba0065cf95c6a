"""`lambda-llm proxy`."""

from typing import Annotated

import typer

from lambda_llm.cli.console import JSON, AllowHost, Port, err, listening, out
from lambda_llm.errors import LambdaLLMError


class TargetError(LambdaLLMError):
    """Requests to the address can't be signed."""


def proxy(
    url: Annotated[str, typer.Argument(help="The Function URL, with or without /v1.", show_default=False)],
    *,
    port: Port = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Whoever can reach it uses your credentials.")
    ] = "127.0.0.1",
    region: Annotated[
        str | None, typer.Option(help="Region of the function, where URL is a custom domain in front of it.")
    ] = None,
    allow_host: AllowHost = [],  # noqa: B006 - typer's way, never changed
    as_json: JSON = False,
) -> None:
    """Serve a Function URL locally without signatures, for tools that only take a base URL and an API key.

    Requests are signed with your AWS credentials, which are renewed as they expire; responses are streamed. Any API
    key works. Stop with Ctrl-C.

    Example: `lambda-llm proxy https://abc123.lambda-url.eu-central-1.on.aws --port 8081`
    """
    import json

    import httpx2
    from rich.markup import escape

    from lambda_llm.aws.function_url import function_url_auth
    from lambda_llm.cli.signing_proxy import Proxy
    from lambda_llm.web.hosts import LOOPBACK, LocalNames
    from lambda_llm.web.server import Server

    target = url.rstrip("/").removesuffix("/v1")
    try:
        parsed = httpx2.URL(target)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise TargetError(f"{url!r} is not a URL: give the Function URL, https://….lambda-url.REGION.on.aws.")
    auth = function_url_auth(target, region)
    if auth is None:
        raise TargetError(
            f"{url} is not a Function URL (https://….lambda-url.REGION.on.aws), so the region to sign for is unknown: "
            "give --region if it is a custom domain in front of one."
        )
    with listening(host, port) as (bound, address):
        here = f"{address}/v1"
        if as_json:
            out.file.write(json.dumps({"url": here, "target": target, "region": auth.region}) + "\n")
            out.file.flush()
        else:
            if host not in LOOPBACK:
                err.print(f"[yellow]Everybody who can reach {escape(host)} uses your AWS credentials.[/]")
            err.print(f"Signing for {escape(target)} in {auth.region}. Any API key works.")
            err.print(f"Serving on [bold]{here}[/] (Ctrl-C stops). Talk to it with: lambda-llm chat {here}")
        app = Proxy(target, auth, LocalNames.of(host, allow_host))
        # Without uvicorn's header: the function's own is passed on.
        server = Server(app, app.stop_answering, log_level="warning", lifespan="on", server_header=False)
        server.run(sockets=[bound])
