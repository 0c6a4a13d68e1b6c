"""Shards: counted, and what is wrong with one said with its name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from auditor.rerun.data import check, header, names_in


def shard(path: Path, tokens: int = 100, magic: int = 20240520, count: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack("<256i", magic, 1, tokens if count is None else count, *[0] * 253)
    path.write_bytes(head + bytes(2 * tokens))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, number in (("train", 0), ("train", 1), ("val", 0)):
        shard(tmp_path / f"datasets/fineweb10B_sp1024/fineweb_{split}_{number:06d}.bin")
    (tmp_path / "tokenizers").mkdir()
    (tmp_path / "tokenizers/fineweb_1024_bpe.model").write_bytes(b"model")
    return tmp_path


def test_what_is_there_is_counted_and_digested(data: Path) -> None:
    found = check(data)
    (one,) = found.datasets
    assert (one.path, one.train_shards, one.val_shards) == ("datasets/fineweb10B_sp1024", 2, 1)
    assert (one.train_tokens, one.val_tokens, found.problems) == (200, 100, ())
    assert len(one.digest) == 64 and found.tokenizers[0][:2] == ("tokenizers/fineweb_1024_bpe.model", 5)
    assert found.entries == ("datasets", "tokenizers")
    before = found.digest
    shard(data / "datasets/fineweb10B_sp1024/fineweb_val_000000.bin", tokens=101)
    assert check(data).digest != before


@pytest.mark.parametrize(("damage", "says"), [
    ({"magic": 1}, "begins with 1, 1"), ({"count": 101}, "states 101 tokens, which is 1226 bytes; it has 1224"),
    ({"count": -1}, "states -1 tokens"),
])  # fmt: skip
def test_a_damaged_shard_is_named(data: Path, damage: dict[str, int], says: str) -> None:
    shard(data / "datasets/fineweb10B_sp1024/fineweb_train_000001.bin", **damage)
    (problem,) = check(data).problems
    assert problem.startswith("datasets/fineweb10B_sp1024/fineweb_train_000001.bin") and says in problem


def test_a_cut_shard_and_missing_ones_are_said(data: Path, tmp_path: Path) -> None:
    path = data / "datasets/fineweb10B_sp1024/fineweb_train_000001.bin"
    path.write_bytes(b"x" * 10)
    assert header(path) == (0, "10 bytes are fewer than a header")
    (data / "datasets/fineweb10B_sp1024/fineweb_val_000000.bin").unlink()
    assert any("no val shard" in p for p in check(data).problems)
    assert check(data, ["fineweb10B_sp8192"]).problems[0].startswith("no shards of fineweb10B_sp8192")
    assert check(tmp_path / "none").problems == (f"--data {tmp_path / 'none'} is no folder",)
    (tmp_path / "empty").mkdir()
    assert "has no shards" in check(tmp_path / "empty").problems[0]


def test_without_data_nothing_is_checked() -> None:
    assert check(None).problems == () and check(None).digest == ""


def test_names_come_from_the_settings_first() -> None:
    text = 'os.environ.get("DATA_PATH", "./data/datasets/fineweb10B_sp1024")'
    assert names_in(text, ["/w/data/datasets/fineweb10B_sp8192/"]) == ("fineweb10B_sp8192",)
    assert names_in(text, ["1"]) == ("fineweb10B_sp1024",)
