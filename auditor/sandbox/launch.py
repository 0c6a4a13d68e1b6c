"""Runs inside the sandbox, before the guest: gives up rights for good, then becomes the guest.

Started as a script (``python -I -S launch.py SPEC -- ARGV...``), so it imports nothing of ours. Every step here is
final: hard limits cannot be raised again, a user id cannot be taken back, a filter cannot be removed.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import select
import signal
import struct
import sys

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 22, 38, 36
LOAD, JUMP_EQ, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
CLONE_NEW = 0x7E020080  # every CLONE_NEW... flag that clone(2) takes, CLONE_NEWTIME included
X32 = 0x40000000

# Refused calls, by number: more attack surface in the kernel than a training script has use for.
MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "unshare": 272, "setns": 308, "mount": 165,
         "umount2": 166, "pivot_root": 155, "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321,
         "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "memfd_create": 319, "clone": 56,
         "open_by_handle_at": 304, "memfd_secret": 447, "pidfd_getfd": 438, "shmget": 29, "clone3": 435},
    ),
    "aarch64": (
        0xC00000B7,
        {"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "unshare": 97, "setns": 268, "mount": 40,
         "umount2": 39, "pivot_root": 41, "keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280,
         "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425, "memfd_create": 279, "clone": 220,
         "open_by_handle_at": 265, "memfd_secret": 447, "pidfd_getfd": 438, "shmget": 194, "clone3": 435},
    ),
}  # fmt: skip


def main() -> None:
    """Apply the specification in ``argv[1]`` and run the command after ``--``."""
    spec, argv = json.loads(sys.argv[1]), sys.argv[3:]
    close_all_but({0, 1, 2, *spec["keep"]})
    be_first_to_die()
    if spec["uid"] is not None:
        take_user(spec["uid"])
    if not spec["isolated"]:
        stay_as_reaper()
    for which, value in spec["rlimits"]:
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))
    if spec["isolated"]:
        refuse_calls()
    if host_is_gone():
        sys.exit(1)
    try:
        os.chdir(spec["cwd"])
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"sandbox: cannot start {argv[0]} in {spec['cwd']}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def close_all_but(keep: set[int]) -> None:
    """Close every inherited descriptor that is not named, and make the named ones survive exec."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:  # the descriptor that listed the folder
                continue
    for fd in keep:
        os.set_inheritable(fd, True)


def host_is_gone() -> bool:
    """Does nobody read stderr any more? (The death of a host before bubblewrap asked to be told goes unnoticed.)"""
    watched = select.poll()
    watched.register(2, 0)
    return bool(watched.poll(0))


def take_user(uid: int) -> None:
    """From the sandbox's own root to a plain user: the kernel counts processes for every user but the real root."""
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def be_first_to_die() -> None:
    """When the machine runs out of memory the kernel takes the guest, not the host."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def prctl(option: int, *arguments: object) -> None:
    """``prctl(2)``, with an exception when it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def stay_as_reaper() -> None:
    """Without a process namespace: stay as parent of all orphans, and end them when guest or host ends."""
    prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))
    guest = os.fork()
    if guest == 0:
        return
    signal.signal(signal.SIGTERM, lambda number, frame: leave(128 + number))
    prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM))
    if host_is_gone():
        leave(1)
    close_all_but(set())
    while True:
        pid, status = os.wait()
        if pid == guest:
            code = os.waitstatus_to_exitcode(status)
            leave(code if code >= 0 else 128 - code)


def leave(code: int) -> None:
    """Kill all children, and theirs as they become ours, then exit."""
    while children := own_children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        os.wait()
    os._exit(code)


def own_children() -> list[int]:
    """Children of this process, dead ones that wait for it included."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    parent = file.read().rpartition(")")[2].split()[1]
            except OSError:  # it ended meanwhile
                continue
            found += [int(name)] if int(parent) == os.getpid() else []
    return found


def program(audit_arch: int, calls: dict[str, int]) -> list[tuple[int, int, int, int]]:
    """The filter as BPF instructions: another machine's calls kill, what is listed fails, the rest is allowed."""
    plain = [number for name, number in calls.items() if name not in ("clone", "clone3")]
    code = [(LOAD, 0, 0, 4), (JUMP_EQ, 1, 0, audit_arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    code += [(JUMP_ANY_BIT, 0, 1, X32), (RETURN, 0, 0, KILL)]
    for number in plain:
        code += [(JUMP_EQ, 0, 1, number), (RETURN, 0, 0, FAIL | EPERM)]
    # The flags of clone3 lie in memory, out of a filter's sight; the C library falls back to clone.
    code += [(JUMP_EQ, 0, 1, calls["clone3"]), (RETURN, 0, 0, FAIL | ENOSYS)]
    code += [(JUMP_EQ, 0, 3, calls["clone"]), (LOAD, 0, 0, 16), (JUMP_ANY_BIT, 0, 1, CLONE_NEW)]
    return [*code, (RETURN, 0, 0, FAIL | EPERM), (RETURN, 0, 0, ALLOW)]


def refuse_calls() -> None:
    """Install the filter; nothing on a machine whose call numbers are not known here."""
    if platform.machine() not in MACHINES:
        return
    code = b"".join(struct.pack("HBBI", *line) for line in program(*MACHINES[platform.machine()]))
    held = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(held)))
    prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), header)


if __name__ == "__main__":
    main()
