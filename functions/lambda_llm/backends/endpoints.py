"""Addresses of AWS's services."""


def endpoint(prefix: str, region: str) -> str:
    """The address of a service in a region, of whichever partition.

    Args:
        prefix: of the service, such as `bedrock-runtime`, `lambda` or `runtime.sagemaker`.
        region: such as `eu-central-1`.

    Raises:
        botocore.exceptions.UnknownRegionError: there is no such region.
    """
    from botocore.session import get_session  # noqa: PLC0415 - importing does without AWS's SDK

    session = get_session()
    name = session.get_partition_for_region(region)
    partitions = session.get_data("partitions")["partitions"]
    suffix = next(each["outputs"]["dnsSuffix"] for each in partitions if each["id"] == name)
    return f"https://{prefix}.{region}.{suffix}"
