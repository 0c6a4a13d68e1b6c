"""Start, refusal, pipes, death."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from auditor.sandbox import Bind, Level, Limits, NoIsolation, Unsafe, start
from tests.sandbox.support import SHORT, guest, needs_bubblewrap, no_isolation

CHILDREN = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(100)
        os._exit(0)
print("ready", flush=True)
{then}
"""


def marked(mark: str) -> list[int]:
    """Processes of this machine whose command line holds ``mark``, apart from this one; zombies have none."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                found += [int(name)] if mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes() else []
            except OSError:
                continue
    return found


def test_without_isolation_nothing_is_started(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_isolation(monkeypatch)
    with pytest.raises(NoIsolation, match="switched off by a test; switch it on"):
        guest(scratch, "open('/golf/mine', 'w')")
    assert not list(scratch.iterdir())


def test_unsandboxed_runs_with_an_empty_environment_and_real_names(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_isolation(monkeypatch)
    monkeypatch.setenv("GOLF_TEST_SECRET", "hidden")
    script = """
        import auditor, os, resource, sys
        print(os.getcwd(), os.environ["DATA"], sys.argv[1], "GOLF_TEST_SECRET" in os.environ)
        print(resource.getrlimit(resource.RLIMIT_FSIZE)[1], os.getpgid(0) != int(sys.argv[2]))
    """
    env = {"DATA": "/golf/data"}
    done = guest(scratch, script, "/golf/script.py", os.getpgid(0), env=env, limits=Limits(file_bytes=12345),
                 unsandboxed=True)  # fmt: skip
    said = f"{scratch} {scratch}/data {scratch}/script.py False\n12345 True\n"
    assert done.stdout.decode() == said and done.level is Level.NONE


@needs_bubblewrap
@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("then", ["time.sleep(100)", ""], ids=["killed", "ended by itself"])
def test_no_child_survives(scratch: Path, isolated: bool, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isolated:
        no_isolation(monkeypatch)
    mark = f"golf-test-child-{os.getpid()}-{isolated}-{len(then)}"
    command = [sys.executable, "-c", CHILDREN.format(then=then), mark]
    with start(command, binds=[Bind(scratch, "/golf", True)], limits=SHORT, unsandboxed=not isolated) as process:
        assert process.stdout.readline() == b"ready\n"
        if then:
            time.sleep(0.3)
            assert len(marked(mark)) >= 4
            process.kill()
        else:
            process.wait(5)
    assert not marked(mark)


@needs_bubblewrap
def test_pipes_carry_bytes_both_ways_and_a_channel_too(scratch: Path) -> None:
    script = "import os, sys; os.write(int(sys.argv[1]), sys.stdin.buffer.readline()[::-1]); print('done')"
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", script, str(theirs)]
    with start(command, binds=[Bind(scratch, "/golf", True)], limits=SHORT, pass_fds=(theirs,)) as process:
        os.close(theirs)
        process.stdin.write(b"\x00\xffabc\n")
        with os.fdopen(ours, "rb") as channel:
            assert channel.read() == b"\ncba\xff\x00"
        assert process.stdout.read() == b"done\n"
        assert process.wait(5) == 0 and process.poll() == 0 and process.level is Level.BUBBLEWRAP


@needs_bubblewrap
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("isolated", [True, False])
def test_a_host_that_dies_takes_the_guest_along(
    scratch: Path, at_once: bool, isolated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isolated:
        no_isolation(monkeypatch)
    script = "import time; print(flush=True); time.sleep(0.6); open('/golf/late' if {} else 'late', 'w')"
    command = [sys.executable, "-c", script.format(isolated)]
    host = os.fork()
    if host == 0:
        process = start(command, binds=[Bind(scratch, "/golf", True)], unsandboxed=not isolated)
        if not at_once:
            process.stdout.readline()
        os._exit(0)
    os.waitpid(host, 0)
    time.sleep(1.2)
    assert not (scratch / "late").exists()
    for pid in marked(str(scratch)):  # bubblewrap itself may wait on for a parent that died in its first moments
        os.kill(pid, signal.SIGKILL)


@needs_bubblewrap
def test_the_wall_limit_can_be_set_anew(scratch: Path) -> None:
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with start(command, binds=[Bind(scratch, "/golf", True)], limits=Limits(wall_seconds=60)) as process:
        process.stdout.readline()
        process.allow(0.3)
        assert process.wait(10) != 0 and process.stopped == "wall time limit of 0.3 s"


@needs_bubblewrap
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_guest_that_nobody_watches_is_stopped(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(processes: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("auditor.sandbox.watch.look", fails)
    done = guest(scratch, "import time; time.sleep(60)")
    assert done.stopped == "failure of the watchdog (ZeroDivisionError())"


@needs_bubblewrap
def test_further_places_are_bound_read_only_or_writable(scratch: Path) -> None:
    (scratch / "run").mkdir()
    (scratch / "data").mkdir()
    (scratch / "data/shard").write_text("tokens")
    binds = [Bind(scratch / "run", "/golf/run", True), Bind(scratch / "data", "/workspace/deep/data")]
    script = """
        print(open("/workspace/deep/data/shard").read(), open("mine", "w").write("x"))
        for name in ("/workspace/deep/data/mine", "/workspace/mine", "/golf/mine"):
            try:
                open(name, "w")
                print("GOT", name)
            except OSError:
                pass
    """
    with start([sys.executable, "-c", textwrap.dedent(script)], binds=binds, cwd="/golf/run") as process:
        assert process.stdout.read() == b"tokens 1\n"


@needs_bubblewrap
def test_a_folder_that_a_guest_replaced_by_a_link_is_not_bound(scratch: Path) -> None:
    (scratch / "data").symlink_to("/etc")
    with pytest.raises(Unsafe, match="link"):
        start(["true"], binds=[Bind(scratch, "/golf", True), Bind(scratch / "data", "/data")])


@needs_bubblewrap
def test_a_command_that_is_not_there(scratch: Path) -> None:
    with start(["no-such-command"], binds=[Bind(scratch, "/golf", True)]) as process:
        assert process.wait(5) == 127
        process.finish_output()
        assert b"cannot start no-such-command" in process.stderr_bytes()


@needs_bubblewrap
def test_what_cannot_be_bound_is_an_error(scratch: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        start(["true"], binds=[Bind(scratch / "nowhere", "/golf")]).close()


@needs_bubblewrap
def test_two_at_a_time_know_nothing_of_each_other(scratch: Path) -> None:
    script = "import os, time; time.sleep(0.3); print([n for n in os.listdir('/proc') if n.isdigit()])"
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: guest(scratch, script), range(4)))
    assert {result.stdout for result in done} == {b"['1', '2']\n"}
