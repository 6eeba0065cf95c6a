"""The ways to load an object from S3 into a memory file that `loading.py` compares, each in a process of its own.

    python loading_methods.py METHOD BUCKET KEY

Clients are created before the clock starts. The result is printed as one JSON object; the bytes of every method are
verified against the object's checksum afterwards.
"""

import base64
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import boto3
import s3transfer.crt
from awscrt.auth import AwsCredentialsProvider
from awscrt.checksums import crc64nvme
from boto3.s3.transfer import TransferConfig
from botocore.session import Session

from lambda_llm.loading.budget import Budget
from lambda_llm.loading.download import download
from lambda_llm.loading.memory_file import MemoryFile
from lambda_llm.loading.sources.base import Description
from lambda_llm.loading.sources.s3 import S3Source

SAMPLE_PART_BYTES: Final = 100 * 1024 * 1024
"""Parts of AWS's sample (aws-samples/sample-chatbot-lambda-snapstart)."""

Load = Callable[[], MemoryFile]
"""Loads the object into memory; the timed part."""


def ours(bucket: str, key: str, *, checked: bool = True, sha256: str | None = None) -> Load:
    """This project's loader, from its first request to the sealed file."""
    budget = Budget(3600, key)
    source = S3Source(bucket, key, None, budget)

    def load() -> MemoryFile:
        with budget:
            described = source.describe()
            if not checked:
                described = Description(described.size, None, described.version_id)
            file = MemoryFile(described.size)
            download(source, file, have=b"", described=described, sha256=sha256, budget=budget)
            file.seal()
            source.close()
        return file

    return load


def sample(bucket: str, key: str) -> Load:
    """The method of AWS's sample: parts of 100 MB, each read whole and then written, one thread per CPU."""
    s3 = boto3.client("s3")

    def load() -> MemoryFile:
        file = MemoryFile(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])

        def part(start: int) -> None:
            end = min(start + SAMPLE_PART_BYTES, file.size)
            response = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")
            file.write(response["Body"].read(), start)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(part, range(0, file.size, SAMPLE_PART_BYTES)))
        return file

    return load


def boto3_transfer(bucket: str, key: str) -> Load:
    """boto3's transfer manager with its defaults."""
    s3 = boto3.client("s3")

    def load() -> MemoryFile:
        file = MemoryFile(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
        with Path(file.path).open("r+b") as opened:
            # By default it uses awscrt on some machines.
            s3.download_fileobj(bucket, key, opened, Config=TransferConfig(preferred_transfer_client="classic"))
        return file

    return load


def awscrt(bucket: str, key: str) -> Load:
    """The S3 client of the AWS Common Runtime, as boto3's transfer manager sets it up."""
    credentials = AwsCredentialsProvider.new_static(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    )
    region, endpoint = os.environ["AWS_DEFAULT_REGION"], os.environ["AWS_ENDPOINT_URL_S3"]
    client = s3transfer.crt.create_s3_crt_client(region, credentials, use_ssl=False)
    serializer = s3transfer.crt.BotocoreCRTRequestSerializer(
        Session(), {"region_name": region, "endpoint_url": endpoint}
    )
    s3 = boto3.client("s3")

    def load() -> MemoryFile:
        file = MemoryFile(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
        with (
            Path(file.path).open("r+b") as opened,
            s3transfer.crt.CRTTransferManager(client, serializer) as manager,
        ):
            manager.download(bucket, key, opened).result()
        return file

    return load


def curl(bucket: str, key: str) -> Load:
    """One stream through curl."""
    s3 = boto3.client("s3")
    url = f"{os.environ['AWS_ENDPOINT_URL_S3']}/{bucket}/{key}"
    user = f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}"
    sign = f"aws:amz:{os.environ['AWS_DEFAULT_REGION']}:s3"

    def load() -> MemoryFile:
        file = MemoryFile(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
        fd = int(file.path.rpartition("/")[2])
        command = ["curl", "--silent", "--fail", "--aws-sigv4", sign, "--user", user, "--output", f"/dev/fd/{fd}", url]
        subprocess.run(command, check=True, pass_fds=[fd])
        return file

    return load


METHODS: Final[dict[str, Callable[[str, str], Load]]] = {
    "ours": ours,
    "ours-sha256": lambda bucket, key: ours(bucket, key, sha256=os.environ["SHA256"]),
    "ours-unverified": lambda bucket, key: ours(bucket, key, checked=False),
    "sample": sample,
    "boto3": boto3_transfer,
    "awscrt": awscrt,
    "curl": curl,
}


def measured(method: str, bucket: str, key: str) -> dict[str, Any]:
    """Run one method and measure it.

    Returns:
        `seconds` elapsed, `cpu` seconds of the process and its children, `extra` bytes of peak memory beyond those
        before and the model's own (None if it can't be measured), `crc64nvme` of the loaded bytes.
    """
    load = METHODS[method](bucket, key)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak; proc(5)
    before = _memory("VmRSS")
    cpu, started = _cpu(), time.perf_counter()
    with load() as file:
        seconds, cpu = time.perf_counter() - started, _cpu() - cpu
        # No method maps the file, so none of its pages count as the process's.
        # curl's memory can't be separated from what it shares with this process after the fork.
        extra = None if method == "curl" else _memory("VmHWM") - before
        crc = at = 0
        while piece := file.read(at, 1024 * 1024):
            crc, at = crc64nvme(piece, crc), at + len(piece)
    return {"seconds": seconds, "cpu": cpu, "extra": extra, "crc64nvme": base64.b64encode(crc.to_bytes(8)).decode()}


def _cpu() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _memory(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found  # noqa: S101 - every Linux has it
    return 1024 * int(found[1])


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))
