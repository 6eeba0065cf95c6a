"""`lambda-llm inspect`."""

from typing import TYPE_CHECKING, Annotated

import typer

from lambda_llm.cli.console import JSON, KV, SHA256, Context, Placement, VersionId, out
from lambda_llm.limits import ARCHITECTURE, MEMORY_MB, MIB

if TYPE_CHECKING:
    from lambda_llm.gguf.memory_plan import MemoryPlan
    from lambda_llm.loading.load import Inspection


def inspect(
    model: Annotated[str, typer.Argument(help="s3://bucket/key, file:///path or a path.", show_default=False)],
    *,
    version_id: VersionId = None,
    sha256: SHA256 = None,
    context: Context = None,
    kv_type: KV = None,
    weights: Placement = None,
    memory_mb: Annotated[int | None, typer.Option(help=f"Memory in MB; default: Lambda's {MEMORY_MB:,}.")] = None,
    as_json: JSON = False,
) -> None:
    """Show what a model is and whether it fits into memory, without loading it.

    Reads the GGUF header only: a few megabytes at most, also from S3. Exit status 0: it fits; 2: it does not.

    Example: `lambda-llm inspect s3://bucket/model.gguf --context 8192`
    """
    from lambda_llm.gguf.errors import about
    from lambda_llm.gguf.memory_plan import plan_memory
    from lambda_llm.inference.settings import Settings
    from lambda_llm.loading.load import inspect as read_header

    settings = Settings.load(
        model=model,
        model_version_id=version_id,
        model_sha256=sha256,
        context=context,
        kv_type=kv_type,
        weights=weights,
        memory_mb=memory_mb,
    )
    inspection = read_header(settings.reference, seconds=settings.load_seconds)
    with about(settings.model):
        plan = plan_memory(
            inspection.header,
            inspection.described.size,
            settings.options,
            memory=(settings.memory_mb or MEMORY_MB) * MIB,
            machine=ARCHITECTURE,
        )
    (_print_json if as_json else _print_table)(inspection, plan)
    if not plan.fits:
        raise typer.Exit(2)


def _print_json(inspection: "Inspection", plan: "MemoryPlan") -> None:
    from dataclasses import asdict

    from lambda_llm.gguf.memory_plan import memory_needs
    from lambda_llm.units import checksum

    header, described = inspection.header, inspection.described
    out.print_json(
        data={
            "model": inspection.reference.uri,
            "version_id": described.version_id,
            "size": described.size,
            "crc64nvme": None if described.crc64nvme is None else checksum(described.crc64nvme),
            "architecture": header.architecture,
            "name": header.name,
            "parameters": header.parameters,
            "context_length": header.context_length,
            "layers": header.layers,
            "vocabulary": header.vocabulary,
            "tensor_types": header.tensor_types,
            "encoder": header.encodes,
            "chat_template": bool(header.text("tokenizer.chat_template")),
            "fit": {
                "context": plan.context_length,
                "placement": plan.options.placement.value,
                "weights": plan.weights,
                "kv_cache": plan.kv_cache,
                "compute_buffers": plan.compute_buffers,
                "process": plan.process,
                "resident": plan.resident,
                "peak": plan.peak,
                "memory": plan.memory,
                "fits": plan.fits,
            },
            "memory": asdict(memory_needs(header)),
        }
    )


def _print_table(inspection: "Inspection", plan: "MemoryPlan") -> None:
    from rich.markup import escape
    from rich.table import Table

    from lambda_llm.units import megabytes, printable

    header, described = inspection.header, inspection.described
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    types = ", ".join(f"{name} {megabytes(size)}" for name, size in header.tensor_types.items())
    for name, value in {
        "Model": header.name or inspection.reference.name,
        "Architecture": f"{header.architecture}, {header.parameters / 1e6:,.1f} million parameters, "
        f"{header.layers} layers, {header.vocabulary:,} tokens",
        "File": f"{megabytes(described.size)} in {len(header.tensors)} tensors ({types})",
        "Context": f"{plan.context_length:,} tokens, the model was trained for {header.context_length:,}",
        "Chat template": _template(encodes=header.encodes, has_template=bool(header.text("tokenizer.chat_template"))),
        "Checksum": "CRC64NVME in S3" if described.crc64nvme is not None else "none stored with the object",
        "Weights": f"{megabytes(plan.weights)}, {plan.options.placement.value}",
        "KV cache": f"{megabytes(plan.kv_cache)} as {plan.options.kv_type.value}",
        "Compute buffers": megabytes(plan.compute_buffers),
        "Process": megabytes(plan.process),
        "Resident": megabytes(plan.resident),
        "Peak": f"{megabytes(plan.peak)}, of {megabytes(plan.memory)}",
    }.items():
        table.add_row(f"[dim]{name}[/]", escape(printable(value)))
    out.print(table)
    out.print("[bold green]It fits.[/]" if plan.fits else "[bold red]It does not fit.[/]")


def _template(*, encodes: bool, has_template: bool) -> str:
    if encodes:
        return "none: an encoder does not generate text"
    return "yes" if has_template else "none: chat requests will be refused"
