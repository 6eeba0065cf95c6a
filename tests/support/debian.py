"""Debian for arm64 in a folder, and its Python under qemu: as near to Graviton as an x86-64 machine comes.

Both are Debian's own packages, fetched and checked by debootstrap; nothing in the folder is installed or started but
what a test calls. The folder stays in .build, so that only the first run pays for it.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from lambda_llm.limits import RUNTIME
from scripts.build.llama import BUILD

SUITE: Final = "trixie"
"""The release of Debian with the Python of Lambda's runtime."""

PACKAGES: Final = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "zlib1g")
ROOT: Final = BUILD / "arm64-root"
APT: Final = Path("/etc/apt")

QEMU: Final = "qemu-aarch64-static"
DEBOOTSTRAP: Final = shutil.which("debootstrap") or "/usr/sbin/debootstrap"
"""A person's PATH seldom has /usr/sbin."""

GET: Final = "apt-get install --no-install-recommends qemu-user-static debootstrap"
needs_arm64: Final = [
    pytest.mark.needs(QEMU, get=GET),
    pytest.mark.needs(DEBOOTSTRAP, get=GET),
    pytest.mark.needs("dpkg-deb", get=GET),
    # debootstrap wants to be root, though it does here what anybody may.
    *([pytest.mark.needs("fakeroot", get="apt-get install fakeroot")] if os.geteuid() else []),
]
"""Marks for tests that call what is here."""


def arm64_root() -> Path:
    """The folder; made when it is missing, incomplete or of other packages."""
    stamp = ROOT / "complete"
    wanted = hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "arm64-root.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_text() == wanted):
            _make(ROOT)
            stamp.write_text(wanted)
    return ROOT


def interpreter(root: Path, to: Path) -> Path:
    """A program that is Python on arm64; QEMU_CPU names the CPU."""
    python = root / "usr/bin" / RUNTIME
    to.write_text(f'#!/bin/sh\nexec {QEMU} -L {shlex.quote(str(root))} {shlex.quote(str(python))} "$@"\n')
    to.chmod(0o755)
    return to


def mirrors(apt: Path = APT) -> list[str]:
    """Where this machine gets Debian's packages, if it does: near to it, and allowed to it."""
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list")), *sorted(apt.glob("sources.list.d/*.s*"))]
    lines = [line for file in files if file.is_file() for line in file.read_text().splitlines()]
    found = [url for line in lines for url in re.findall(r"https?://\S+/debian/?(?=\s|$)", line.partition("#")[0])]
    return list(dict.fromkeys(found))


def _make(root: Path) -> None:
    as_root = ["fakeroot"] if os.geteuid() else []
    chosen = ["--arch=arm64", "--foreign", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    said = []
    for mirror in [*mirrors(), None]:
        shutil.rmtree(root, ignore_errors=True)
        command = [*as_root, DEBOOTSTRAP, *chosen, SUITE, str(root), *([mirror] if mirror else [])]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        said.append("\n".join([*done.stdout.splitlines()[-3:], done.stderr.strip()]))
    else:
        pytest.fail("debootstrap made no root for arm64:\n" + "\n".join(said), pytrace=False)
    # --foreign leaves most packages to a second stage, which would run them; unpacking is all that is needed here.
    for package in sorted(root.glob("var/cache/apt/archives/*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        package.unlink()
