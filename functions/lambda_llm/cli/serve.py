"""`lambda-llm serve`."""

from typing import TYPE_CHECKING, Annotated

import typer

from lambda_llm.cli.console import (
    JSON,
    KV,
    SHA256,
    AllowHost,
    Context,
    Memory,
    Placement,
    Port,
    VersionId,
    err,
    listening,
    out,
    progress_bar,
)

if TYPE_CHECKING:
    from lambda_llm.inference.init import Environment


def serve(
    model: Annotated[str, typer.Argument(help="s3://bucket/key, file:///path or a path.", show_default=False)],
    *,
    port: Port = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    version_id: VersionId = None,
    sha256: SHA256 = None,
    context: Context = None,
    kv_type: KV = None,
    weights: Placement = None,
    memory_mb: Memory = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads; default: the CPUs available to the process, fewer for a tiny model.")
    ] = None,
    system_prompt: Annotated[
        str | None, typer.Option(help="Evaluated before serving, and kept in the KV cache.")
    ] = None,
    page: Annotated[bool | None, typer.Option(help="Serve a chat page at /; default: yes.")] = None,
    cors: Annotated[
        list[str],
        typer.Option(help="Origin of a web page that may use this server, like https://example.com; * for any."),
    ] = [],  # noqa: B006 - typer's way, never changed
    allow_host: AllowHost = [],  # noqa: B006 - as above
    as_json: JSON = False,
) -> None:
    """Serve a model on this machine as on Lambda: same loading, same API, same errors.

    The API is OpenAI's: use any client with the URL that is printed. /metrics is for Prometheus. The port opens when
    the model is verified. Stop with Ctrl-C.

    Example: `lambda-llm serve s3://bucket/model.gguf --context 4096`
    """
    from starlette.middleware.cors import CORSMiddleware

    from lambda_llm.inference.figures import Figures, RequestLines, always
    from lambda_llm.inference.init import init
    from lambda_llm.inference.settings import Settings, SettingsError
    from lambda_llm.inference.snapshot.memory import resident
    from lambda_llm.serving import metrics
    from lambda_llm.serving.app import create_app
    from lambda_llm.web.correlation import Correlation
    from lambda_llm.web.hosts import LocalNames
    from lambda_llm.web.local_only import LocalOnly
    from lambda_llm.web.origin import Tenancy
    from lambda_llm.web.server import Server

    settings = Settings.load(
        model=model,
        model_version_id=version_id,
        model_sha256=sha256,
        context=context,
        kv_type=kv_type,
        weights=weights,
        memory_mb=memory_mb,
        threads=threads,
        system_prompt=system_prompt,
        page=page,
    )
    if settings.tenant is Tenancy.AUTHORIZER:
        raise SettingsError(
            "LAMBDA_LLM_TENANT=authorizer is for functions behind an API Gateway, and here is none whose word could be "
            "believed: set it to none, or to user."
        )
    with_page = settings.page is not False
    with listening(host, port) as (bound, address):
        resident_before = resident()
        with progress_bar("Loading") as progress:
            environment = init(settings, progress)
        url = f"{address}/v1"
        _print_ready(environment, url, resident_before, as_json=as_json)
        with_page &= not environment.engine.encodes
        if with_page and not as_json:
            err.print(f"Or in a browser: [bold]{address}[/]")
        app = create_app(environment.engine, environment.serving, with_page=with_page)
        metrics.install(app)
        figures = Figures(environment, app) if settings.lines else None
        if cors:
            app.add_middleware(CORSMiddleware, allow_origins=cors, allow_methods=["*"], allow_headers=["*"])
        app.add_middleware(LocalOnly, names=LocalNames.of(host, allow_host, cors))
        answering = app if figures is None else RequestLines(app, figures, always)
        Server(Correlation(answering), app.state.stop_answering, log_level="warning").run(sockets=[bound])


def _print_ready(environment: "Environment", url: str, resident_before: int, *, as_json: bool) -> None:
    import json

    from rich.markup import escape

    from lambda_llm.inference.snapshot.memory import resident
    from lambda_llm.units import megabytes, printable

    loaded, model = environment.loaded, environment.serving.model_id
    if as_json:
        ready = {
            "url": url,
            "model": model,
            "size": loaded.download.size,
            "checksums": loaded.download.checksums,
            "download_seconds": loaded.download.seconds,
            "open_seconds": environment.open_seconds,
            "warm_seconds": environment.warm_seconds,
            "placement": loaded.plan.options.placement.value,
            "resident": resident(),
            "resident_before": resident_before,
        }
        out.file.write(json.dumps(ready) + "\n")
        out.file.flush()
        return
    verified = " and ".join(loaded.download.checksums) or "its header (a local file without a pinned SHA-256)"
    err.print(
        f"[bold]{escape(printable(model))}[/]: {megabytes(loaded.download.size)} in {loaded.download.seconds:.2f} s, "
        f"verified by {verified}; opened in {environment.open_seconds:.2f} s, warm in {environment.warm_seconds:.2f} s"
    )
    hint = f" Talk to it with: lambda-llm chat {url}" if not environment.engine.encodes else ""
    err.print(f"Serving on [bold]{url}[/] (Ctrl-C stops).{hint}")
