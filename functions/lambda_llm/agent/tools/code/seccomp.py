"""The system calls that code may make in the local sandbox: a list of what is allowed, everything else is not there.

Calls that nobody here has heard of yet answer ENOSYS as those that are left out do, so a new kernel opens nothing.
Left out for good reason: mount, namespaces, ptrace and reading other processes, io_uring, keys, BPF, sockets of every
kind, and memory that no limit counts (memfd_create, System V). Names: https://man7.org/linux/man-pages/man2/syscalls.2.html
"""

import ctypes
import os
from functools import cache
from typing import Any, Final

from lambda_llm.agent.errors import SandboxUnavailableError

LIBRARY: Final = "libseccomp.so.2"

ALLOWED: Final = """
access alarm arch_prctl brk capget chdir chmod chown clock_getres clock_gettime clock_nanosleep close close_range
copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd
eventfd2 execve exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fcntl
fdatasync fgetxattr flistxattr flock fork fstat fstatfs fsync ftruncate futex futex_waitv getcpu getcwd getdents
getdents64 getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresuid getrlimit getrusage getsid gettid gettimeofday getuid getxattr get_robust_list kill lchown lgetxattr link
linkat listxattr llistxattr lseek lstat madvise membarrier mincore mkdir mkdirat mknod mknodat mmap mprotect mremap
msync munmap nanosleep newfstatat open openat openat2 pause pipe pipe2 poll ppoll prctl pread64 preadv preadv2
prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min sched_setaffinity sched_yield select sendfile setitimer setpgid setpriority setrlimit
set_robust_list setsid set_tid_address sigaltstack splice stat statfs statx symlink symlinkat sync_file_range sysinfo
tee tgkill time timerfd_create timerfd_gettime timerfd_settime timer_create timer_delete timer_getoverrun
timer_gettime timer_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice
wait4 waitid write writev
""".split()  # noqa: SIM905 - a list of two hundred names

_ALLOW: Final = 0x7FFF0000
_ENOSYS: Final = 0x00050000 | 38
_MASKED_EQUAL: Final = 7
_NO_SUCH_NAME: Final = -1
_NEW_NAMESPACES: Final = 0x7E020080
"""CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET} of linux/sched.h."""
_TERMINAL_REQUESTS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what isatty and pipes take. Not TIOCSTI, which types for
whoever owns the terminal."""


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of seccomp.h."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


@cache
def program(library: str = LIBRARY) -> bytes:
    """The filter as BPF of this machine's architecture, for `bwrap --seccomp`.

    Raises:
        SandboxUnavailableError: the system has no libseccomp, or it refuses a rule.
    """
    try:
        seccomp = ctypes.CDLL(library)
    except OSError as error:
        raise SandboxUnavailableError(
            f"Code can't be isolated here for want of {library}: install the package libseccomp2 (Debian, Ubuntu) or "
            "libseccomp (Fedora, Amazon Linux)."
        ) from error
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_init.argtypes = [ctypes.c_uint32]
    seccomp.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    seccomp.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    seccomp.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    seccomp.seccomp_release.argtypes = [ctypes.c_void_p]
    context = seccomp.seccomp_init(_ENOSYS)
    try:
        for name in ALLOWED:
            _allow(seccomp, context, name)
        _allow(seccomp, context, "clone", _Comparison(0, _MASKED_EQUAL, _NEW_NAMESPACES, 0))
        for request in _TERMINAL_REQUESTS:
            _allow(seccomp, context, "ioctl", _Comparison(1, _MASKED_EQUAL, 0xFFFFFFFF, request))
        source, target = os.pipe()
        try:
            if seccomp.seccomp_export_bpf(context, target) != 0:
                raise SandboxUnavailableError(f"Code can't be isolated here, because {library} can't write its filter.")
        finally:
            os.close(target)
        with open(source, "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read()
    finally:
        seccomp.seccomp_release(context)


def _allow(seccomp: Any, context: Any, name: str, *comparisons: _Comparison) -> None:
    """Allow a call, where this library knows its name."""
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number == _NO_SUCH_NAME:
        return
    array = (_Comparison * len(comparisons))(*comparisons)
    status = seccomp.seccomp_rule_add_array(context, _ALLOW, number, len(comparisons), array)
    if status != 0 and number >= 0:  # below 0: of another architecture
        raise SandboxUnavailableError(f"Code can't be isolated here, because libseccomp takes no rule for {name}.")
