"""Files of ``torch.save`` read as data: the same tensors as `torch.load` gives, and nothing that is not data."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_model.artifact.saved import STORAGES, SavedError, load_saved

LIMIT = 1 << 20


def saved(what: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(what, stream, **options)
    return stream.getvalue()


def zipped(pickled: bytes, **storages: bytes) -> bytes:
    """A file as ``torch.save`` writes it, with this pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, raw in storages.items():
            archive.writestr(f"archive/data/{key.removeprefix('k')}", raw)
    return stream.getvalue()


def pickle_of(file: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return archive.read("archive/data.pkl")


def same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return left.dtype == right.dtype and torch.equal(left.detach(), right.detach())
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def everything() -> dict[str, Any]:
    model, matrix = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), torch.arange(24.0).view(4, 6)
    return {
        "state": model.state_dict(), "parameter": nn.Parameter(matrix), "transposed": matrix.t(),
        "view": matrix[1:, 2:], "one": torch.tensor(3.5), "empty": torch.empty(0, 3), "none": None,
        "list": [1, 2.5, "x", True, -7, 1 << 40, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "meta": {"type": "int6"},
        "size": torch.Size([2, 3]), **{str(dtype): torch.ones(3).to(dtype) for dtype in STORAGES.values()},
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_same_as_torch_gives(protocol: int) -> None:
    what = everything()
    file = saved(what, pickle_protocol=protocol)
    assert same(load_saved(file, LIMIT), what)
    if protocol == 2:  # the one that is the default, and that torch reads without a warning
        assert same(load_saved(file, LIMIT), torch.load(io.BytesIO(file), weights_only=True))
    assert not same(load_saved(saved({"x": torch.ones(2)}), LIMIT), {"x": torch.zeros(2)})


def refused() -> dict[str, tuple[object, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8)
    return {
        "sparse": (torch.ones(3).to_sparse(), "something other than tensors"),
        "quantised": (quantised, "QInt8Storage"),
        "a module": (nn.Linear(2, 2), "opcode NEWOBJ"),
        "a counter": (collections.Counter("ab"), "calls collections.Counter"),
        "a set": ({1, 2}, "calls __builtin__.set"),
        "expanded": (torch.ones(1).expand(1000, 1000), "more numbers than its storage"),
        "float8": (torch.ones(3).to(torch.float8_e4m3fn), "UntypedStorage"),
        "a path": (Path("x"), "something other than tensors"),
        "tuples as keys": ({(1, 2): 3}, "neither text nor numbers"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_is_no_data_is_refused_by_name(case: str) -> None:
    what, says = refused()[case]
    with pytest.raises(SavedError, match=says):
        load_saved(saved(what), LIMIT)


class Evil:
    """Unpickled, it raises `ZeroDivisionError`."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("1 / 0",)


def test_a_call_is_not_made() -> None:
    for file in (saved([Evil()]), saved({"x": torch.ones(2), "y": Evil()}), zipped(pickle.dumps(Evil(), protocol=4))):
        with pytest.raises(ZeroDivisionError):
            pickle.loads(pickle.dumps(Evil()))
        with pytest.raises(SavedError, match=r"calls (__builtin__|builtins).eval"):
            load_saved(file, LIMIT)


def laughs(depth: int) -> bytes:
    """A tuple of two tuples of two tuples ..., 2 ** ``depth`` in all, in a few bytes."""
    return b"\x80\x02)" + b"2\x86" * depth


@pytest.mark.parametrize(
    "pickled",
    [
        laughs(60) + b".",  # held, not walked through
        b"\x80\x02}" + laughs(60)[2:] + b"K\x01s.",  # hashed
        b"\x80\x02" + laughs(60)[2:] + b"Q.",  # a storage's reference
        b"\x80\x02(X\x07\x00\x00\x00storage" + laughs(60)[2:] + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ.",
        b"\x80\x02" + laughs(60)[2:] + b")R.",  # called
        b"\x80\x02ctorch\nSize\n" + laughs(60)[2:] + b"R.",
        laughs(100_000) + b".",
        b"\x80\x02" + b"](" * 10_000 + b"e" * 10_000 + b".",
        b"\x80\x02]\x94h\x00a.",  # a list in itself
        b"", b".",
        b"\x80\x02", b"\x80\x02).x", b"\x80\x02h\x07.", b"\x80\x02Ns.", b"\x80\x02\x86.", b"cos\nsystem\n)R.",
    ],
)  # fmt: skip
def test_hostile_pickles_end_at_once(pickled: bytes) -> None:
    try:
        load_saved(zipped(pickled), LIMIT)
    except SavedError as error:
        assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "no archive"),
        (b"PK\x03\x04 and no more", "no archive"),
        (zipped(b"N.", k0=bytes(2 << 20)), "more than 1,048,576"),
        (saved({"x": torch.ones(2)}).replace(b"\x00\x00\x80?\x00\x00\x80?", b"\x00\x00\x80?\x00\x00\x80@"), "CRC"),
        (saved({"x": torch.ones(2)})[:-30], "no archive"),
        (zipped(pickle_of(saved({"x": torch.ones(2)}))), "lacks archive/data/0"),
        (zipped(pickle_of(saved({"x": torch.ones(2)})), k0=bytes(7)), "7 bytes, where 2 numbers"),
    ],
)
def test_damaged_files(file: bytes, says: str) -> None:
    with pytest.raises(SavedError, match=says):
        load_saved(file, LIMIT)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_pickle_with_changed_bytes_gives_data_or_one_sentence(edits: list[tuple[int, int]]) -> None:
    pickled = bytearray(PICKLED)
    for place, value in edits:
        pickled[place % len(pickled)] = value
    with contextlib.suppress(SavedError):
        load_saved(zipped(bytes(pickled), **STORED), LIMIT)


SOURCE = saved({"a": torch.ones(2, 3), "b": [1, "x", {"c": torch.zeros(4)}], "d": nn.Linear(2, 2).state_dict()})
PICKLED = pickle_of(SOURCE)
with zipfile.ZipFile(io.BytesIO(SOURCE)) as _archive:
    STORED = {f"k{name[13:]}": _archive.read(name) for name in _archive.namelist() if name.startswith("archive/data/")}


def test_the_fuzzed_file_is_whole_before_it_is_changed() -> None:
    found = load_saved(zipped(PICKLED, **STORED), LIMIT)
    assert same(found["a"], torch.ones(2, 3)) and set(found["d"]) == {"weight", "bias"}
    assert "REDUCE" in {opcode.name for opcode, _, _ in pickletools.genops(PICKLED)}
