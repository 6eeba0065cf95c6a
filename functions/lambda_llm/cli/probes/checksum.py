"""What the model was verified by, and what kind of checksum S3 has of it."""

from typing import Any

from lambda_llm.aws.s3_uri import parse_object
from lambda_llm.cli.probes.base import Finding, Probe, ok, unknown, wrong
from lambda_llm.cli.probes.deployment import Deployment, MissingError, UnknowableError


def _ask(deployment: Deployment) -> Finding:
    checksums = deployment.health.get("checksums")
    if checksums is None:
        return unknown("The server does not tell what its model was verified by: it is older than this command.")
    stored, why = _stored(deployment)
    figures = {"verified_by": checksums, **stored}
    if not checksums:
        reason = "The model was verified by its header alone: pin its SHA-256 with LAMBDA_LLM_MODEL_SHA256."
        return unknown(f"{reason} It is a local file.", **figures) if deployment.local else wrong(reason, **figures)
    said = f"Verified by {' and '.join(checksums)}"
    kind = stored.get("s3_checksum_type")
    if kind not in {None, "FULL_OBJECT"}:
        return wrong(
            f"{said}, but S3's checksum is of the kind {kind}, which covers its parts only: push the model with "
            "`lambda-llm push`.",
            **figures,
        )
    return ok(f"{said}; {why or f'S3 has a checksum of the whole object ({kind})'}.", **figures)


def _stored(deployment: Deployment) -> tuple[dict[str, Any], str]:
    """What S3 has of the object, and why that is not known."""
    try:
        variables = deployment.configuration["Environment"]["Variables"]
        bucket, key = parse_object(variables["LAMBDA_LLM_MODEL"])
        head = deployment.aws.call(
            "s3",
            "HeadObject",
            Bucket=bucket,
            Key=key,
            VersionId=variables["LAMBDA_LLM_MODEL_VERSION_ID"],
            ChecksumMode="ENABLED",
        )
    except (UnknowableError, MissingError) as error:
        said = str(error).rstrip(".")
        return {}, f"what S3 has of it is not known here ({said[0].lower()}{said[1:]})"
    except KeyError as error:
        return {}, f"what S3 has of it is not known here (the function's settings do not name {error})"
    if "ChecksumCRC64NVME" not in head:
        return {"s3_checksum_type": None}, "S3 has no CRC64NVME of it"
    return {"s3_checksum_type": head.get("ChecksumType"), "s3_crc64nvme": head["ChecksumCRC64NVME"]}, ""


PROBE = Probe("checksum", "What was the model verified by?", _ask)
