"""`lambda-llm push`."""

from pathlib import Path
from typing import Annotated

import typer

from lambda_llm.cli.console import JSON, out, progress_bar


def push(
    file: Annotated[Path, typer.Argument(help="The GGUF file.", show_default=False)],
    to: Annotated[str, typer.Argument(help="s3://bucket/key", show_default=False)],
    *,
    as_json: JSON = False,
) -> None:
    """Upload a model with the checksums that each load is verified by.

    The header is checked first. S3 stores a CRC64NVME checksum of the whole object, and the SHA-256 as metadata; both
    are compared after the upload. Prints the reference to pin: version, size, SHA-256. With
    --json it is what the Terraform modules take: `model = jsondecode(file("model.json"))`.

    Example: `lambda-llm push model.gguf s3://bucket/models/model.gguf`
    """
    from dataclasses import asdict

    from rich.markup import escape

    from lambda_llm.loading.push import push as upload
    from lambda_llm.units import checksum, megabytes

    with progress_bar(f"Pushing {escape(file.name)}") as progress:
        pushed = upload(file, to, progress)
    if as_json:
        out.print_json(
            data={
                "model": pushed.uri,
                "bucket": pushed.bucket,
                "key": pushed.key,
                "version_id": pushed.version_id,
                "size": pushed.size,
                "sha256": pushed.sha256,
                "crc64nvme": checksum(pushed.crc64nvme),
                "kms_key_arn": pushed.kms_key_arn,
                "verifiable_by_crc64nvme": pushed.kept_by_store,
                "memory": asdict(pushed.needs),
            }
        )
        return
    out.print(f"Pushed [bold]{escape(pushed.uri)}[/], {megabytes(pushed.size)}. Pin it with:")
    out.print(f"  LAMBDA_LLM_MODEL={pushed.uri}", markup=False)
    if pushed.version_id:
        out.print(f"  LAMBDA_LLM_MODEL_VERSION_ID={pushed.version_id}", markup=False)
    out.print(f"  LAMBDA_LLM_MODEL_SHA256={pushed.sha256}")
    if not pushed.kept_by_store:
        out.print("The store has no checksum of the whole object: to load it, the SHA-256 must be pinned.")
