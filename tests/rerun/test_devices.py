"""Device files in the sandbox: let in where they are asked for, with the rest of /dev as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.rerun.launch import LIMITS
from auditor.rerun.real import devices
from auditor.sandbox import Bind, bubblewrap
from auditor.sandbox import run as sandboxed
from tests.rerun.planted import ISOLATED

ASK = "f = open('/dev/nvidia0', 'rb'); print(len(f.read(7)))\nopen('/dev/other', 'w')\n"


def test_they_stand_before_dev_is_closed() -> None:
    line = bubblewrap.command(["true"], binds=[Bind(Path("/dev/zero"), "/dev/nvidia0", device=True)])
    at = line.index("--dev-bind")
    assert line[at : at + 3] == ["--dev-bind", "/dev/zero", "/dev/nvidia0"]
    assert line.index("--dev") < at < line.index("/dev", at + 3)


@pytest.mark.skipif(not ISOLATED, reason="nothing isolates here")
def test_a_guest_can_use_one_and_add_none() -> None:
    binds = [Bind(Path("/dev/zero"), "/dev/nvidia0", device=True)]
    done = sandboxed(["/usr/bin/env", "python3", "-c", ASK], binds=binds, cwd="/", limits=LIMITS)
    assert done.stdout == b"7\n" and b"Read-only" in done.stderr and done.status == 1


def test_only_gpus_and_the_bus_are_let_in() -> None:
    names = {bind.guest for bind in devices()}
    assert all(name == "/sys" or name.startswith(("/dev/nvidia", "/dev/infiniband")) for name in names)
