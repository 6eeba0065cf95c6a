"""What the kernel says of a process, compared with what a new one knows of itself."""

import resource
import subprocess
import sys
import time

from lambda_llm.telemetry import process


def test_a_process_is_older_than_its_first_line_and_younger_than_its_parent() -> None:
    program = "from lambda_llm.telemetry import process; print(process.seconds())"
    began = time.monotonic()
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert 0 < float(said.stdout) <= time.monotonic() - began + 0.02  # the kernel counts hundredths
    assert float(said.stdout) < process.seconds() + 0.02


def test_resident_memory_is_what_the_kernel_says_elsewhere() -> None:
    resident = process.resident_bytes()
    assert resident is not None
    assert 10_000_000 < resident <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1.05
