"""Bad input, through the whole command: a clear message, the right exit code, no traceback, nothing written."""

from __future__ import annotations

import base64
import json
import lzma
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from auditor import cli
from tests.test_cli import HONEST, ROOT

VERDICTS = {0, 1, 10, 11}


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def golf(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command in this process (a process each would be mostly start-up)."""

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as stop:
            cli.main([*arguments, "--no-probe"])
        out, err = capfd.readouterr()
        return Done(int(stop.value.code or 0), out, err)

    return run


def honest(folder: Path) -> None:
    """The plain submission, to be spoilt."""
    for path in HONEST.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def script(data: bytes) -> Callable[[Path], None]:
    """The plain submission with another script."""

    def make(folder: Path) -> None:
        honest(folder)
        (folder / "train_gpt.py").write_bytes(data)

    return make


def metadata(data: bytes) -> Callable[[Path], None]:
    """The plain submission with another submission.json."""

    def make(folder: Path) -> None:
        honest(folder)
        (folder / "submission.json").write_bytes(data)

    return make


def log(data: bytes) -> Callable[[Path], None]:
    """The plain submission with one log replaced."""

    def make(folder: Path) -> None:
        honest(folder)
        (folder / "train_seed42.log").write_bytes(data)

    return make


def linked_outside(folder: Path) -> None:
    honest(folder)
    (folder / "train_seed42.log").unlink()
    (folder / "train_seed42.log").symlink_to("../../../../../../../../etc/hostname")
    (folder / "loop").symlink_to(".")


def unreadable(folder: Path) -> None:
    honest(folder)
    (folder / "train_gpt.py").chmod(0)


def pipe(folder: Path) -> None:
    honest(folder)
    os.mkfifo(folder / "train.log")


def launch(folder: Path) -> None:
    honest(folder)
    commands = (f"torchrun --nproc_per_node={'9' * 5000} train_gpt.py", "torchrun --nproc_per_node \u00b2 train_gpt.py")
    (folder / "run.sh").write_text("\n".join(commands), encoding="utf-8")
    log = "Hyperparameters: train_seq_len=inf train_batch_tokens=nan\ntrain_seq_len: inf\n"
    (folder / "train_seed42.log").write_text(log)


def huge_config(folder: Path) -> None:
    honest(folder)
    with open(folder / "golf-audit.toml", "wb") as stream:
        stream.truncate(8 << 30)


def hostile_names(folder: Path) -> None:
    honest(folder)
    (folder / "\x1b[31mred\n## golf-audit.log").write_text("step:1/2 train_loss:1.0\n")
    os.rename(folder / "train_seed1337.log", os.fsencode(folder) + b"/train_seed\xff.log")


def bomb(folder: Path) -> None:
    honest(folder)
    packed = base64.b85encode(lzma.compress(b"x = 1\n" * 40_000_000)).decode()
    loader = f'import base64, lzma\nexec(lzma.decompress(base64.b85decode("{packed}")))\n'
    (folder / "train_gpt.py").write_text(loader)


def nested(folder: Path) -> None:
    honest(folder)
    text = "x = 1\n"
    for _ in range(60):
        packed = base64.b64encode(zlib.compress(text.encode()))
        text = f"import base64, zlib\nexec(zlib.decompress(base64.b64decode({packed!r})))\n"
    (folder / "train_gpt.py").write_text(text)


CASES: dict[str, Callable[[Path], None]] = {
    "empty script": script(b""),
    "script that does not parse": script(b"def broken(:\n    pass\n"),
    "script with NUL bytes": script(b"x = 1\0\0\n" * 100),
    "script in UTF-16": script("x = 1\n".encode("utf-16")),
    "script with a BOM": script(b"\xef\xbb\xbfx = 1\n"),
    "script in Latin-1": script("x = 'é'\n".encode("latin-1")),
    "script of random bytes": script(bytes(range(256)) * 200),
    "script of one long line": script(b"x = [" + b"1, " * 400_000 + b"]\n"),
    "deeply nested expression": script(b"x = " + b"(" * 5000 + b"1" + b")" * 5000 + b"\n"),
    "deeply nested blocks": script("\n".join("  " * n + "if x:" for n in range(150)).encode() + b" pass\n"),
    "long chain of operators": script(b"x = " + b"1 + " * 20_000 + b"1\n"),
    "lone carriage returns": script(b"x = 1\ry = 2\rz = (\r"),
    "endless loop": script(b"while True:\n    x = 1\nfor i in iter(int, 1):\n    pass\n"),
    "runaway recursion": script(b"def f(x):\n    return f(f(x))\nf(1)\n"),
    "huge constants": script(b"x = 10 ** 10 ** 10\ny = 'a' * 10 ** 12\nz = list(range(10 ** 12))\nw = 1 << 10 ** 12\n"),
    "huge texts": script(
        b"x = '%.2000000000f' % 1.0\ny = '%*d' % (2000000000, 1)\nz = 'abcdefgh'\n" + b"z = z + z\n" * 40
    ),
    "huge paths": script(b"from pathlib import Path\nz = 'abcdefgh'\n" + b"z = Path(z) / z\n" * 40),
    "json with a BOM": metadata(b"\xef\xbb\xbf" + b'{"val_bpb": 1.2}'),
    "json cut short": metadata(b'{"val_bpb": 1.2, '),
    "json that is a list": metadata(b"[1, 2]"),
    "json of nulls": metadata(b'{"val_bpb": null, "seeds": null, "bytes_total": null, "val_loss": null}'),
    "json of strings": metadata(b'{"val_bpb": "pending", "seeds": "three", "bytes_total": "15 MB", "date": 3}'),
    "json of dictionaries": metadata(b'{"val_bpb": {"mean": 1.2}, "seeds": {"42": {}}, "bytes_total": {}, "name": []}'),
    "json with NaN and infinity": metadata(b'{"val_bpb": NaN, "bytes_total": Infinity, "seeds": [1e400, -1]}'),
    "json deeply nested": metadata(b"[" * 100_000 + b"]" * 100_000),
    "json with huge numbers": metadata(b'{"bytes_total": ' + b"9" * 5000 + b', "seeds": [' + b"9" * 400 + b"]}"),
    "json in UTF-16": metadata('{"val_bpb": 1.2}'.encode("utf-16")),
    "a huge submission.json": metadata(b'{"val_bpb": 1.2, "name": "' + b"x" * (1 << 20) + b'"}'),
    "a log of another kind": log(b"val_bpb:1.1\0\0\0\n" * 1000),
    "log of NUL bytes": log(b"\0" * 100_000),
    "log of escapes": log(b"\x1b[2J\x1b]0;x\x07" * 1000),
    "log with one endless line": log(b"step:1/20000 train_loss:" + b"9" * 3_000_000),
    "log of huge figures": log(b"step:99999999999999999999/1 train_loss:nan train_time:1e999ms step_avg:infms\n" * 50),
    "log of colons": log(b"a:" * 200_000 + b"\n" + b"=" * 100_000),
    "links out of the folder": linked_outside,
    "unreadable script": unreadable,
    "log of endless digits": log(b"seed:%b\nworld_size:inf\nstep:%b/1 val_bpb:1e999\n" % (b"9" * 5000, b"9" * 5000)),
    "launch with endless digits": launch,
    "a golf-audit.toml of gigabytes": huge_config,
    "a pipe for a log": pipe,
    "hostile file names": hostile_names,
    "a decompression bomb": bomb,
    "packed sixty deep": nested,
}


@pytest.mark.parametrize("name", CASES)
def test_no_traceback_and_nothing_written(
    name: str, tmp_path: Path, golf: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "records/track_10min_16mb/2026-04-01_Bad"
    folder.mkdir(parents=True)
    CASES[name](folder)
    before = sorted(os.listdir(os.fsencode(folder)))
    run = golf(str(folder), "--format", "json")
    assert run.returncode in VERDICTS, run.stderr[-500:]
    assert run.stderr == ""
    document = json.loads(run.stdout)
    errors = [(r["rule"], r["reason"]) for r in document["results"] if r["outcome"] == "error"]
    assert not errors, errors[:3]
    assert sorted(os.listdir(os.fsencode(folder))) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["records"]


UNREAD = ("links out of the folder", "a pipe for a log", "a log of another kind", "a huge submission.json")


@pytest.mark.parametrize("name", UNREAD)
def test_a_file_that_was_not_read_is_never_a_pass(name: str, tmp_path: Path, golf: Callable[..., Done]) -> None:
    folder = tmp_path / "records/track_10min_16mb/2026-04-01_Bad"
    folder.mkdir(parents=True)
    CASES[name](folder)
    document = json.loads(golf(str(folder), "--format", "json").stdout)
    assert document["verdict"] == "inconclusive" and "Could not be read" in document["verdict_reason"]
    assert document["complete"] is False


@pytest.mark.parametrize("name", ["huge texts", "huge paths"])
def test_memory_is_bounded(name: str, tmp_path: Path) -> None:
    """A run with 1.5 GiB of address space ends as one without."""
    folder = tmp_path / "records/track_10min_16mb/2026-04-01_Bad"
    folder.mkdir(parents=True)
    CASES[name](folder)
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({3 << 29}, {3 << 29}))\n"
    code = limited + "import sys; from auditor.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, str(folder), "--no-probe", "--format", "json"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode in VERDICTS and "MemoryError" not in run.stdout + run.stderr, run.stderr


SCRIPTLESS = ("empty script", "script that does not parse", "script of random bytes", "script with NUL bytes")


@pytest.mark.parametrize("name", SCRIPTLESS)
def test_a_script_that_cannot_be_read_is_never_a_pass(name: str, tmp_path: Path, golf: Callable[..., Done]) -> None:
    folder = tmp_path / "records/track_10min_16mb/2026-04-01_Bad"
    folder.mkdir(parents=True)
    CASES[name](folder)
    run = golf(str(folder), "--format", "json", "--witness", "source")
    assert json.loads(run.stdout)["verdict"] == "inconclusive", run.stdout[:2000]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_hostile_names_reach_no_reader(form: str, tmp_path: Path, golf: Callable[..., Done]) -> None:
    folder = tmp_path / "records/track_10min_16mb/2026-04-01_Bad"
    folder.mkdir(parents=True)
    hostile_names(folder)
    run = golf(str(folder), "--format", form, "--verbose")
    assert run.returncode in VERDICTS and "\x1b" not in run.stdout
    assert [line for line in run.stdout.splitlines() if line.startswith("## ")][1:] == []
