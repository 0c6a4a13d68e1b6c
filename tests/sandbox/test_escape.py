"""Attempts to get out: each fails inside, and the same script succeeds without the sandbox (so the attempt is real).

A script prints ``GOT`` when it has got what it was after.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.support import guest, needs_bubblewrap, no_isolation

pytestmark = needs_bubblewrap
ROOT = Path(__file__).resolve().parents[2]

READ = """
import sys
for path in sys.argv[1:]:
    try:
        sys.stdout.write("GOT " + open(path).read())
    except OSError as error:
        print(type(error).__name__)
"""
LIST = READ.replace("open(path).read()", '" ".join(__import__("os").listdir(path))')
WRITE = """
import os, sys
for path in sys.argv[1:]:
    try:
        with open(path, "w") as file:
            file.write("x")
        print("GOT", path)
    except OSError as error:
        print(type(error).__name__)
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2).close()
    print("GOT")
except OSError as error:
    print(type(error).__name__)
"""
UNIX = CONNECT.replace('socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2).close()',
                       's = socket.socket(socket.AF_UNIX); s.connect("\\0" + sys.argv[1])')  # fmt: skip
SIGNAL = """
import os, sys
try:
    os.kill(int(sys.argv[1]), 15)
    print("GOT")
except OSError as error:
    print(type(error).__name__)
"""
SEE = """
import os, sys
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        try:
            if sys.argv[1].encode() in open(f"/proc/{name}/cmdline", "rb").read():
                print("GOT", name)
        except OSError:
            pass
"""
HOST_ENV = """
import os
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            if b"GOLF_TEST_SECRET" in open(f"/proc/{name}/environ", "rb").read():
                print("GOT", name)
        except OSError:
            pass
print("GOT" if "GOLF_TEST_SECRET" in os.environ else "")
"""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("hidden")
    path.chmod(0o600)
    return path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host, to be seen or signalled; its command line holds a mark."""
    popen = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "golf-test-mark"])
    yield popen
    popen.kill()
    popen.wait()


def inside_and_control(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object
) -> tuple[str, str]:
    """What the script prints in the sandbox, and what it prints without."""
    inside = guest(scratch, script, *arguments)
    assert inside.status == 0, inside.stderr
    no_isolation(monkeypatch)
    control = guest(scratch, script, *arguments, unsandboxed=True)
    assert control.status == 0, control.stderr
    return inside.stdout.decode(), control.stdout.decode()


def test_a_file_of_the_user_cannot_be_read(scratch: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, control = inside_and_control(scratch, monkeypatch, READ, secret)
    assert "FileNotFoundError" in inside
    assert control == "GOT hidden"


def test_the_system_s_own_files_are_not_there(scratch: Path) -> None:
    paths = ("/etc/shadow", "/etc/ssh", "/root/.bashrc", "/var/log", "/sys/kernel", "/run", "/boot", "/home")
    for script in (READ, LIST):
        assert guest(scratch, script, *paths).stdout.split() == [b"FileNotFoundError"] * len(paths)


def test_the_repository_and_the_home_folder_are_not_there(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in guest(scratch, LIST, Path.home()).stdout.decode().split()[1:]:
        assert str(Path.home() / entry) in " ".join([sys.prefix, sys.base_prefix, os.path.realpath(sys.executable)])
    inside, control = inside_and_control(scratch, monkeypatch, LIST, ROOT)
    assert ".git" not in inside.split() and "tests" not in inside.split()
    assert "tests" in control.split()


def test_nothing_outside_scratch_can_be_written(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["/planted", "/usr/planted", "/etc/planted", "/dev/planted", "/opt/golf/auditor/planted",
              f"{sys.prefix}/planted", "/proc/sys/kernel/hostname", "/sys/planted", "/home/planted"]  # fmt: skip
    assert guest(scratch, WRITE, *places, "/golf/mine").stdout.decode().count("GOT") == 1
    assert (scratch / "mine").read_text() == "x"
    inside, control = inside_and_control(scratch, monkeypatch, WRITE, tmp_path / "planted")
    assert "GOT" not in inside
    assert "GOT" in control and (tmp_path / "planted").exists()


def test_what_is_written_to_tmp_stays_inside(scratch: Path) -> None:
    name = f"/tmp/golf-test-{os.getpid()}"
    assert b"GOT" in guest(scratch, WRITE, name).stdout
    assert not Path(name).exists()


def test_the_host_cannot_be_reached_by_loopback(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inside, control = inside_and_control(scratch, monkeypatch, CONNECT, server.getsockname()[1])
    assert "ConnectionRefusedError" in inside
    assert "GOT" in control


def test_abstract_sockets_of_the_host_cannot_be_reached(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"golf-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        inside, control = inside_and_control(scratch, monkeypatch, UNIX, name)
    assert "GOT" not in inside
    assert "GOT" in control


def test_there_is_no_way_out_and_no_name_service(scratch: Path) -> None:
    script = """
        import socket
        print([name for _, name in socket.if_nameindex()])
        for attempt in (lambda: socket.getaddrinfo("example.org", 80),
                        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
                        lambda: socket.create_connection(("192.0.2.1", 80), timeout=2)):
            try:
                attempt()
                print("GOT")
            except OSError as error:
                print(error.errno)
    """
    said = guest(scratch, script).stdout.decode()
    assert said.startswith("['lo']") and "GOT" not in said


def test_processes_of_the_host_cannot_be_signalled(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    inside, control = inside_and_control(scratch, monkeypatch, SIGNAL, sleeper.pid)
    assert "ProcessLookupError" in inside
    assert "GOT" in control and sleeper.wait(5) == -15


def test_the_guest_s_parent_is_not_the_host(scratch: Path) -> None:
    script = "import os; print(os.getppid()); os.kill(os.getppid(), 9); os.kill(-1, 9)"
    done = guest(scratch, script)  # it may kill all there is inside, and itself; this test is still here
    assert done.status != 0 or done.stderr


def test_processes_of_the_host_cannot_be_seen(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    inside, control = inside_and_control(scratch, monkeypatch, SEE, "golf-test-mark")
    assert "GOT" not in inside
    assert f"GOT {sleeper.pid}" in control


def test_the_host_s_environment_cannot_be_seen(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLF_TEST_SECRET", "hidden")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        inside, control = inside_and_control(scratch, monkeypatch, HOST_ENV)
    finally:
        child.kill()
        child.wait()
    assert "GOT" not in inside
    assert f"GOT {child.pid}" in control


def test_only_named_descriptors_are_inherited(scratch: Path, secret: Path) -> None:
    script = """
        import os
        for fd in range(3, 200):
            try:
                os.fstat(fd)
                print(fd)
            except OSError:
                pass
    """
    channel, other = os.pipe()
    hidden = os.open(secret, os.O_RDONLY)
    os.set_inheritable(hidden, True)
    try:
        assert guest(scratch, script, pass_fds=(channel,)).stdout.split() == [str(channel).encode()]
    finally:
        for fd in (channel, other, hidden):
            os.close(fd)


def test_the_kernel_offers_little(scratch: Path) -> None:
    script = """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        for name, arguments in (("unshare", (0x10000000,)), ("ptrace", (0, 0, 0, 0)), ("setns", (0, 0)),
                                ("memfd_create", (b"x", 0)), ("mount", (b"a", b"/tmp", b"tmpfs", 0, None)),
                                ("chroot", (b"/tmp",)), ("sethostname", (b"x", 1)), ("setuid", (0,))):
            print(name, getattr(libc, name)(*arguments) != -1 and "GOT")
        print(open("/proc/self/status").read())
    """
    said = guest(scratch, script).stdout.decode()
    assert "GOT" not in said
    for line in ("CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in said


def test_no_process_inside_holds_a_way_to_the_host_s_files(scratch: Path, secret: Path) -> None:
    script = """
        import os, sys
        for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
            for way in ("root", "cwd", *(f"fd/{fd}" for fd in range(20))):
                for back in ("", "/../../../.."):
                    if os.path.lexists(f"/proc/{pid}/{way}{back}{sys.argv[1]}"):
                        print("GOT", pid, way)
    """
    assert guest(scratch, script, secret).stdout == b""
    assert b"GOT" in guest(scratch, script, "/golf").stdout


def test_a_hardened_parent_s_memory_is_closed_to_its_child(scratch: Path) -> None:
    script = """
        import os, sys
        if sys.argv[1] == "hardened":
            from auditor.sandbox.harden import harden
            harden()
        if os.fork() == 0:
            try:
                open(f"/proc/{os.getppid()}/mem", "r+b").close()
                print("GOT", flush=True)
            except OSError as error:
                print(type(error).__name__, flush=True)
            os._exit(0)
        os.wait()
    """
    assert guest(scratch, script, "hardened").stdout == b"PermissionError\n"
    assert guest(scratch, script, "open").stdout == b"GOT\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="for an unprivileged user the guest is that user, without rights")
def test_for_root_the_guest_is_nobody_of_the_host(scratch: Path) -> None:
    guest(scratch, "open('/golf/mine', 'w').close()")
    assert (scratch / "mine").stat().st_uid >= 2_000_000_000
