"""What the worker gives up before it reads what strangers have dropped. Linux; elsewhere nothing is given up.

A filter of system calls (seccomp(2), mode filter) needs no privileges once `no_new_privs` is set, holds for every
thread and every program that the process starts, and can't be taken off again. It refuses what the unit file of the
service refuses as well, so that a worker that was started by hand or in a container has no more than one that systemd
has started. Calls are refused with the errors that libraries expect where something isn't there: nothing is killed.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from contextlib import suppress
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_FILTER_FLAG_TSYNC: Final = 1  # threads that libraries have started already, too
_AF_UNIX: Final = 1
_X32: Final = 0x40000000  # x86-64 only: the same calls by other numbers

# struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = (
    0,
    4,
    16,
)  # of the first argument the low half: both machines are little-endian
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

_ARCHITECTURES: Final = {"x86_64": (0xC000003E, 317, 41), "aarch64": (0xC00000B7, 277, 198)}
"""AUDIT_ARCH_*, the number of seccomp(2), the number of socket(2). Linux: include/uapi/asm*/unistd*.h."""

_REFUSED: Final = {  # call: its number on x86_64 and on aarch64
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "acct": (163, 89), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "sethostname": (170, 161), "setdomainname": (171, 162), "quotactl": (179, 60), "syslog": (103, 116),
}  # fmt: skip
_NOT_THERE: Final = {"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)}
"""Opens sockets past a filter; who asks for it does without where a kernel lacks it."""


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def give_up_privileges() -> bool:
    """No program that this process starts gains rights by set-user-ID; whether that is so."""
    if sys.platform != "linux":
        return False
    with suppress(OSError, AttributeError):
        return int(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) == 0
    return False


def give_up_calls() -> bool:
    """No network but sockets of this machine (AF_UNIX, which CUDA needs), and no calls that no worker makes.

    For good, for all threads and descendants. False where the platform does not have it.
    """
    machine = platform.machine()
    if sys.platform != "linux" or sys.byteorder != "little" or machine not in _ARCHITECTURES:
        return False
    _, seccomp, _ = _ARCHITECTURES[machine]
    code = program(machine)
    given = _Program(len(code) // 8, code)
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        flags = _SECCOMP_FILTER_FLAG_TSYNC
        return int(libc.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(given))) == 0
    return False


def program(machine: str) -> bytes:
    """The filter: struct sock_filter {__u16 code; __u8 jt, jf; __u32 k}, 8 bytes each. machine: as uname says it."""
    architecture, _, socket = _ARCHITECTURES[machine]
    column = list(_ARCHITECTURES).index(machine)
    lines: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),  # 32-bit calls have other numbers, and nobody here makes any
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        lines += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    for calls, error in ((_REFUSED, errno.EPERM), (_NOT_THERE, errno.ENOSYS)):
        for numbers in calls.values():
            lines += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _REFUSE | error)]
    lines += [
        (_EQUAL, 1, 0, socket),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE | errno.EAFNOSUPPORT),
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
