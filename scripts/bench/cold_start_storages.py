"""The storages that `cold_start.py` simulates, with the source of each number: the only home of these numbers."""

from dataclasses import dataclass
from typing import Final

from lambda_llm.inference.snapshot.prefetch import STEP_BYTES
from lambda_llm.limits import MIB, NETWORK_MBPS

_UNDER_THE_HOOD: Final = (
    "https://aws.amazon.com/blogs/compute/under-the-hood-how-aws-lambda-snapstart-optimizes-function-startup-latency/"
)
_PAPER: Final = "https://www.usenix.org/conference/atc23/presentation/brooker"
_LIMITS: Final = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_S3: Final = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
_EFS: Final = "https://docs.aws.amazon.com/efs/latest/ug/performance.html"
_EFS_MOUNT: Final = "https://docs.aws.amazon.com/efs/latest/ug/mount-helper-setting.html"
_SAMPLE: Final = (
    "https://aws.amazon.com/blogs/compute/deploying-ai-models-for-inference-with-aws-lambda-using-zip-packaging/"
)

_NETWORK: Final = NETWORK_MBPS * 1e6 / 8
_CHUNKS: Final = 1e9


@dataclass(frozen=True)
class Storage:
    """Where a model comes from.

    Attributes:
        name: in few words.
        latency: seconds from a request to its answer.
        bandwidth: bytes per second, of all requests of one environment together.
        chunk: bytes that are loaded at a time; 0: as many as are asked for.
    """

    name: str
    latency: float
    bandwidth: float
    chunk: int


CACHED_CHUNKS: Final = Storage("Lambda's chunks, cached", 0.001, _CHUNKS, STEP_BYTES)
COLD_CHUNKS: Final = Storage("Lambda's chunks, in S3 only", 0.036, _CHUNKS, STEP_BYTES)
EFS: Final = Storage("EFS", 0.00025, _NETWORK, MIB)
S3: Final = Storage("S3", 0.1, _NETWORK, 0)


@dataclass(frozen=True)
class Published:
    """A cold start that others have measured on Lambda.

    Attributes:
        name: what was started, in few words.
        seconds: as published.
    """

    name: str
    seconds: float


PUBLISHED: Final = (
    Published("AWS's sample without SnapStart", 16.5),
    Published("AWS's sample with SnapStart", 1.6),
)

SOURCES: Final = (
    (
        f"**Chunks of 512 KB**, of images and of snapshots: {CACHED_CHUNKS.latency * 1e3:g} ms from a cache. [AWS]"
        f"({_UNDER_THE_HOOD}) says about 1 ms for the worker's own and single-digit milliseconds for the zone's, "
        f"[Brooker et al., USENIX ATC 2023]({_PAPER}) a median of 0.55 ms for the zone's"
    ),
    (
        f"**The same chunks at first use**, when only S3 has them: {COLD_CHUNKS.latency * 1e3:g} ms, the median of "
        f"[the same paper]({_PAPER}); [AWS]({_UNDER_THE_HOOD}) says up to hundreds"
    ),
    (
        f"**Their bandwidth**, {_CHUNKS / 1e9:g} GB/s, is a guess: none is published. [restore.md](restore.md) has the "
        f"restore from 0.5 to 2"
    ),
    (
        f"**The network** of an environment: {NETWORK_MBPS} megabits a second, [Lambda's quota]({_LIMITS}), for S3 and "
        f"for EFS; that it holds for EFS is a guess. Outside a VPC up to 3,000 can be asked for"
    ),
    (
        f"**EFS**: {EFS.latency * 1e3:g} ms, [the least that a read takes]({_EFS}), and the client's [1 MB a read]"
        f"({_EFS_MOUNT})"
    ),
    f"**S3**: {S3.latency * 1e3:g} ms to the first byte; [S3's documentation]({_S3}) says 100 to 200",
    (
        f"**AWS's sample**: {PUBLISHED[0].seconds:g} s and {PUBLISHED[1].seconds:g} s are [as published]({_SAMPLE}), "
        f"for a model of 1.5 billion weights in 4 bits and a whole function on Lambda: beside these figures, not among "
        f"them"
    ),
)
"""Where the numbers are from, or that they are guesses; in Markdown, as docs/cold-start.md has them."""
