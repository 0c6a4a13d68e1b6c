from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.shims import files
from auditor.behaviour.shims.context import ShimContext
from tests.behaviour.shims.conftest import Events

torch: Any = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.install(ctx)


def sizes(events: Events, kind: str) -> list[tuple[str, int]]:
    return [(os.path.basename(e["path"]), e["bytes"]) for e in events.of(kind)]


def test_every_way_of_writing_an_artifact(events: Events) -> None:
    with open("a.bin", "wb") as handle:
        handle.write(b"12345")
    open("b.bin", "wb").write(b"12")  # noqa: SIM115
    assert os.path.getsize("b.bin") == 2, "an unreferenced handle must be flushed at once"
    Path("c.bin").write_bytes(b"123")
    text = open("d.bin", "w")  # noqa: SIM115
    text.write("1234")
    text.close()
    text.close()
    np.save("e.npy", np.zeros(4))
    with zipfile.ZipFile("f.zip", "w") as archive:
        archive.writestr("x", "y")
    with gzip.open("g.gz", "wb") as packed:
        packed.write(b"abc")
    torch.save({"w": torch.ones(3)}, "h.pt")
    written = dict(sizes(events, "ArtifactWritten"))
    assert list(written) == ["a.bin", "b.bin", "c.bin", "d.bin", "e.npy", "f.zip", "g.gz", "h.pt"]
    assert len(events.of("ArtifactWritten")) == 8
    assert all(size == os.path.getsize(name) for name, size in written.items())


def test_every_way_of_reading_it_back(events: Events) -> None:
    torch.save({"w": torch.ones(3)}, "m.pt")
    data = Path("m.pt").read_bytes()
    with open("m.pt", "rb") as handle:
        torch.load(handle, map_location="cpu")
    torch.load(io.BytesIO(data), map_location="cuda")
    assert torch.load("m.pt", map_location={"cuda:0": "cuda:0"}, weights_only=True)["w"].device.type == "cpu"
    assert torch.load("m.pt", map_location=torch.device("cuda", 0), mmap=True)["w"].tolist() == [1.0] * 3
    assert [name for name, _ in sizes(events, "ArtifactRead")] == ["m.pt"] * 4
    assert {size for _, size in sizes(events, "ArtifactRead")} == {len(data)}


def test_shards_are_data_and_not_artifacts(events: Events) -> None:
    os.makedirs("data/datasets")
    names = ("fineweb_train_000000.bin", "fineweb_val_000000.bin", "fineweb_val_bytes_000000.bin")
    for name in names:
        np.arange(8, dtype="<u2").tofile(f"data/datasets/{name}")
    Path("data/fineweb_1024_bpe.model").write_bytes(b"x")
    events.clear()
    assert np.fromfile(f"data/datasets/{names[0]}", dtype="<u2", count=3).tolist() == [0, 1, 2]
    mapped = np.memmap(f"data/datasets/{names[1]}", dtype="<u2", mode="r", offset=4, shape=(2,))
    assert mapped.tolist() == [2, 3] and isinstance(mapped, np.memmap)
    Path("data/datasets", names[2]).read_bytes()
    with open("data/fineweb_1024_bpe.model", "rb"):
        pass
    assert [e["split"] for e in events.of("Loaded")] == ["train", "val", "bytes", "tokenizer"]
    assert len(events.of("Opened")) == 4 and not events.of("ArtifactRead")


def test_logs_and_sources_are_neither(events: Events) -> None:
    with open("logs/run.txt", "w") as handle:
        handle.write("x")
    Path("module.py").write_text("y")
    assert not events.of("ArtifactWritten")
    assert [os.path.basename(e["path"]) for e in events.of("Opened")] == ["run.txt"]


def test_other_missing_folders_are_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Path("weights/a.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        Path("nothing.bin").read_bytes()


def test_low_level_opening_is_seen(events: Events) -> None:
    number = os.open("x.bin", os.O_CREAT | os.O_RDWR)
    os.close(number)
    assert events.of("Opened")[0]["mode"] == "w"


def test_handles_stay_what_they_were(tmp_path: Path) -> None:
    with open("t.txt", "w", encoding="utf-8") as text:
        assert isinstance(text, io.TextIOWrapper)
        text.write("é\n")
    with open("t.txt", "rb") as raw:
        assert isinstance(raw, io.BufferedReader) and raw.readinto(bytearray(3)) == 3
    with open("n.bin", "wb") as target:
        np.arange(4, dtype=np.uint16).tofile(target)
        pickle.dump([1], target)
    assert os.path.getsize("n.bin") > 8


def test_a_folder_of_the_author_s_machine_is_noted(events: Events, tmp_path: Path) -> None:
    os.chdir("/no/such/folder/anywhere")
    assert os.getcwd() == str(tmp_path) and "missing" in events.of("Opened")[0]["mode"]
    os.makedirs("sub")
    os.chdir("sub")
    assert os.getcwd() == str(tmp_path / "sub")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("fineweb_val_000000.bin", "val"), ("fineweb_train_000010.bin", "train"), ("fineweb_val_bytes_0.bin", "bytes"),
        ("spm.vocab", "tokenizer"), ("final_model.int8.ptz", None), ("tokenizer.json", "tokenizer"),
    ],
)  # fmt: skip
def test_splits_by_name(name: str, split: str | None) -> None:
    assert files.split_of(f"/golf/run/data/{name}") == split


def test_events_of_a_nested_opening_are_not_doubled(events: Events) -> None:
    kept: Any = {"w": torch.ones(2)}
    torch.save(kept, "m.pt")
    np.savez("z.npz", a=np.ones(2))
    np.load("z.npz")["a"]
    assert [os.path.basename(e["path"]) for e in events.of("Opened")] == ["m.pt", "z.npz", "z.npz"]
