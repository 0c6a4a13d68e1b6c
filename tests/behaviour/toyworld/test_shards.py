"""Shard files, read back by hand and by our reader."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from auditor.behaviour.toyworld.files import MTIME
from auditor.behaviour.toyworld.shards import read_shard, shard_bytes, write_shard

TOKENS = np.array([1, 258, 65535, 0], dtype=np.uint16)


def test_the_format_is_the_competitions(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.bin", TOKENS)
    raw = (tmp_path / "a.bin").read_bytes()
    assert struct.unpack("<256i", raw[:1024]) == (20240520, 1, 4, *[0] * 253)
    assert raw[1024:] == b"\x01\x00\x02\x01\xff\xff\x00\x00"
    assert read_shard(tmp_path / "a.bin").tolist() == TOKENS.tolist()
    assert (tmp_path / "a.bin").stat().st_mtime == MTIME


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        shard_bytes(TOKENS)[:1000],
        shard_bytes(TOKENS)[:-1],
        shard_bytes(TOKENS) + b"\0\0",
        b"\0" + shard_bytes(TOKENS)[1:],
        shard_bytes(TOKENS)[:4] + b"\2" + shard_bytes(TOKENS)[5:],
    ],
)
def test_what_is_not_a_shard_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(raw)
    with pytest.raises(ValueError, match="shard"):
        read_shard(tmp_path / "a.bin")


@pytest.mark.parametrize("value", [-1, 65536])
def test_values_that_do_not_fit_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="65,535"):
        shard_bytes(np.array([value]))


def test_an_empty_shard_has_a_header() -> None:
    assert len(shard_bytes(np.zeros(0, dtype=np.uint16))) == 1024
