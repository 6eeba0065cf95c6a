"""What the list of calls does is shown by attacks, in `test_local.py`."""

import pytest

from lambda_llm.agent.errors import SandboxUnavailableError
from lambda_llm.agent.tools.code import seccomp


def test_the_list_is_in_order_and_has_no_name_twice() -> None:
    assert len(seccomp.ALLOWED) == len(set(seccomp.ALLOWED))
    assert {"clone", "clone3", "ioctl", "ptrace", "socket", "mount", "memfd_create"}.isdisjoint(seccomp.ALLOWED)


def test_every_name_is_a_call() -> None:
    """Of libseccomp 2.5 or later; an unknown one would be left out without a word."""
    program = seccomp.program()
    assert len(program) % 8 == 0
    assert len(program) // 8 > len(seccomp.ALLOWED) / 2


def test_without_the_library() -> None:
    with pytest.raises(SandboxUnavailableError) as caught:
        seccomp.program("libseccomp-is-not-here.so.2")
    assert str(caught.value) == (
        "Code can't be isolated here for want of libseccomp-is-not-here.so.2: install the package libseccomp2 "
        "(Debian, Ubuntu) or libseccomp (Fedora, Amazon Linux)."
    )
