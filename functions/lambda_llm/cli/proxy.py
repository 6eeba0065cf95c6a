"""`lambda-llm proxy`."""

from typing import Annotated

import typer

from lambda_llm.cli.console import JSON, Port, err, listening, out
from lambda_llm.errors import LambdaLLMError


class TargetError(LambdaLLMError):
    """There is nothing at the address that could be signed for."""


def proxy(
    url: Annotated[str, typer.Argument(help="The Function URL, with or without /v1.", show_default=False)],
    *,
    port: Port = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Whoever can reach it asks with your credentials.")
    ] = "127.0.0.1",
    region: Annotated[
        str | None, typer.Option(help="Of the function, where URL is a domain of your own in front of it.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Serve a Function URL here, unsigned, for every tool that knows only an address and a key.

    Requests are signed with your AWS credentials, which are renewed as they expire, and answers stream through. Any
    key will do. Stop with Ctrl-C.

    Example: `lambda-llm proxy https://abc123.lambda-url.eu-central-1.on.aws --port 8081`
    """
    import json

    import httpx2
    from rich.markup import escape

    from lambda_llm.aws.function_url import function_url_auth
    from lambda_llm.cli.signing_proxy import LOOPBACK, Proxy
    from lambda_llm.serving.server import Server

    target = url.rstrip("/").removesuffix("/v1")
    try:
        parsed = httpx2.URL(target)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise TargetError(f"{url!r} is no address: give the Function URL, https://….lambda-url.REGION.on.aws.")
    auth = function_url_auth(target, region)
    if auth is None:
        raise TargetError(
            f"{url} is no Function URL (https://….lambda-url.REGION.on.aws), so nothing says how to sign: give the "
            "--region of the function if it is a domain of your own in front of one."
        )
    with listening(host, port) as (bound, address):
        here = f"{address}/v1"
        if as_json:
            out.file.write(json.dumps({"url": here, "target": target, "region": auth.region}) + "\n")
            out.file.flush()
        else:
            if host not in LOOPBACK:
                err.print(f"[yellow]Everybody who can reach {escape(host)} asks with your AWS credentials.[/]")
            err.print(f"Signing for {escape(target)} in {auth.region}. Any key will do.")
            err.print(f"Serving on [bold]{here}[/] (Ctrl-C stops). Talk to it with: lambda-llm chat {here}")
        app = Proxy(target, auth, anywhere=host not in LOOPBACK)
        # No header of uvicorn's: the function's own comes through.
        server = Server(app, app.stop_answering, log_level="warning", lifespan="on", server_header=False)
        server.run(sockets=[bound])
