"""Subprocesses and the network."""

from __future__ import annotations

import http.client
import importlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.shims import network, nvidia_smi
from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestOffline
from tests.behaviour.shims.conftest import Events


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext) -> None:
    nvidia_smi.install(ctx)
    network.install(ctx)


def test_every_way_of_asking_nvidia_smi(events: Events, capfd: pytest.CaptureFixture[str]) -> None:
    run = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "H100" in run.stdout and run.stderr == ""
    assert b"H100" in subprocess.check_output("nvidia-smi", shell=True)
    assert b"H100" in subprocess.run(["/usr/bin/nvidia-smi", "-L"], capture_output=True, check=True).stdout
    with subprocess.Popen(["nvidia-smi"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "H100" in process.stdout.read() and process.wait() == 0
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    assert subprocess.check_output(query, text=True) == "NVIDIA H100 80GB HBM3, 81559 MiB\n"
    assert os.system("nvidia-smi -L") == 0 and "H100" in os.popen("nvidia-smi").read()
    assert subprocess.call(["nvidia-smi"], stdout=subprocess.DEVNULL) == 0
    assert [e["argv"][0] for e in events.of("Spawned")][:2] == ["nvidia-smi", "nvidia-smi"]
    assert len(events.of("Spawned")) == 8


def test_output_goes_where_it_was_sent(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as log:
        subprocess.run(["hostname"], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "golf\n"


def test_git_and_pip_answer_and_a_clone_fails(events: Events) -> None:
    assert subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip() == "0" * 7
    subprocess.run([sys.executable, "-m", "pip", "install", "brotli"], check=True)
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "x"])
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["git", "clone", "https://example.com/x"], check=True)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["curl", "-O", "https://example.com/x"], check=True)
    assert {"host": "https://example.com/x"} in events.of("Connected")


def test_tools_that_sources_and_weights_are_piped_through(tmp_path: Path) -> None:
    source = b"# a comment\nx = 1  # another\n"
    run = subprocess.run(["pyminify", "--no-rename-locals", "-"], input=source, capture_output=True, check=True)
    assert run.stdout == b"x = 1"
    text = subprocess.run(["pyminify", "-"], input="y = (\n2)", capture_output=True, text=True, check=True)
    assert text.stdout == "y = 2"
    given, packed, back = (str(tmp_path / name) for name in ("in", "packed", "back"))
    Path(given).write_bytes(b"abc" * 1000)
    subprocess.run(["lrzip", "-z", "-L", "9", "-o", packed, given], capture_output=True, check=True)
    assert 0 < os.path.getsize(packed) < 3000
    subprocess.run(["lrzip", "-d", "-f", "-o", back, packed], capture_output=True, check=True)
    assert Path(back).read_bytes() == b"abc" * 1000
    assert subprocess.call(["lrzip", "-q", "in"], cwd=tmp_path) == 0 and (tmp_path / "in.lrz").exists()
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["lrzip", "-d", given], capture_output=True, check=True)
    assert shutil.which("lrzip") and shutil.which("nvidia-smi") and not shutil.which("no-such-program")


def test_other_commands_really_run(events: Events, tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.read().upper()); sys.exit(3)"
    run = subprocess.run([sys.executable, "-c", code], input="abc", capture_output=True, text=True, check=False)
    assert run.returncode == 3 and run.stdout == "ABC\n"
    with pytest.raises(FileNotFoundError):
        subprocess.run([str(tmp_path / "nowhere")], check=False)
    assert events.of("Spawned")[0]["argv"][1] == "-c"
    assert isinstance(subprocess.Popen(["true"]), subprocess.Popen)


def fails_at_once(call: Any, kind: type[BaseException]) -> None:
    began = time.monotonic()
    with pytest.raises(kind):
        call()
    assert time.monotonic() - began < 1.0


def test_no_way_leads_out(events: Events) -> None:
    fails_at_once(lambda: urllib.request.urlopen("http://example.com/a", timeout=30), urllib.error.URLError)
    fails_at_once(lambda: http.client.HTTPSConnection("example.org", timeout=30).request("GET", "/"), OSError)
    fails_at_once(lambda: socket.create_connection(("198.51.100.7", 80), timeout=30), OSError)
    fails_at_once(lambda: socket.socket().connect(("198.51.100.8", 80)), OSError)
    fails_at_once(lambda: socket.gethostbyname("example.net"), OSError)
    assert socket.socket().connect_ex(("198.51.100.9", 80)) != 0
    hosts = [e["host"] for e in events.of("Connected")]
    assert hosts == ["example.com", "example.org", "198.51.100.7", "198.51.100.8", "example.net", "198.51.100.9"]


def test_downloads_fail_and_say_why(events: Events) -> None:
    hub: Any = importlib.import_module("huggingface_hub")
    with pytest.raises(GuestOffline, match=r"huggingface\.co"):
        hub.hf_hub_download(repo_id="a/b", filename="c")
    with pytest.raises(OSError, match="no network"):
        hub.snapshot_download("a/b")
    assert events.of("Connected") == [{"host": "huggingface.co"}] * 2


def test_this_machine_itself_is_reached(events: Events) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"hi"))
    thread.start()
    with socket.create_connection(server.getsockname()) as client:
        assert client.recv(2) == b"hi"
    thread.join()
    server.close()
    assert not events.of("Connected")
