"""What ``torch.save`` wrote, read as data: a zip of storages, and a pickle that is followed and never run.

`torch.load` with ``weights_only`` is a restricted unpickler, and its restriction has failed before (CVE-2025-32434 to
torch 2.5, CVE-2026-24747 to 2.9). Here the pickle's opcodes are read by `pickletools`, which executes nothing; those
of plain data and of tensors are followed, and everything else is refused by name. So no version of torch matters.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

LARGEST_PICKLE = 1 << 26
"""Bytes; a state dict of a thousand tensors takes some 200,000."""
STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "ShortStorage": torch.int16, "IntStorage": torch.int32, "LongStorage": torch.int64, "BoolStorage": torch.bool,
}  # fmt: skip
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()}


class SavedError(ValueError):
    """A file that holds something other than data and tensors, or is damaged; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that the pickle names; it stands for itself and is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Storage:
    """The numbers of one or more tensors."""

    values: Tensor


def load_saved(data: bytes, limit: int) -> Any:
    """The dictionaries, lists, numbers, texts and tensors of a file that ``torch.save`` wrote as a zip.

    Raises `SavedError` for anything else, a damaged file, and contents of more than ``limit`` bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            if total > limit:
                raise SavedError(f"the archive holds {total:,} bytes, more than {limit:,}")
            return _followed(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise SavedError(f"the file is no archive of torch.save, or is damaged ({error})") from error


def _followed(archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise SavedError(f"the archive holds {len(pickles)} data.pkl, and torch.save writes one")
    folder = pickles[0].removesuffix("data.pkl")
    if archive.getinfo(pickles[0]).file_size > LARGEST_PICKLE:
        raise SavedError(f"the archive's data.pkl has more than {LARGEST_PICKLE:,} bytes")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder").strip() != b"little":
        raise SavedError("the tensors are not little-endian")
    return Follower(lambda key: _stored(archive, f"{folder}data/{key}")).follow(archive.read(pickles[0]))


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise SavedError(f"the archive lacks {name}") from None


@dataclass(slots=True)
class Follower:
    """A stack machine for the opcodes of data. ``read`` gives a storage's bytes by its key."""

    read: Callable[[str], bytes]
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)

    def follow(self, pickle: bytes) -> Any:
        """What the pickle describes. Raises `SavedError`."""
        try:
            for name, argument in _opcodes(pickle):
                if name == "STOP":
                    return self.stack.pop()
                self._step(name, argument)
        except (IndexError, TypeError, KeyError, ValueError) as error:
            if isinstance(error, SavedError):
                raise
            raise SavedError(f"the pickle is damaged ({type(error).__name__})") from error
        raise SavedError("the pickle is cut off")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in LITERALS:
            stack.append(argument)
        elif name in FRESH:
            stack.append(FRESH[name]())
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = argument.split(" ", 1) if name == "GLOBAL" else [stack.pop(), stack.pop()][::-1]
            stack.append(Name(str(parts[0]), str(parts[1])))
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            self.marks.append(stack)
            self.stack = []
        elif name in ("BINPERSID", "REDUCE", "BUILD", "POP"):
            self._act(name)
        elif name not in ("PROTO", "FRAME"):
            self._collect(name)

    def _act(self, name: str) -> None:
        last = self.stack.pop()
        if name == "BINPERSID":
            self.stack.append(self._storage(last))
        elif name == "REDUCE":
            self.stack.append(self._called(self.stack.pop(), last))
        # BUILD: the state of an object. Of data only an OrderedDict has one (a state dict's _metadata): it is left out.
        elif name == "BUILD" and not isinstance(self.stack[-1], dict):
            raise SavedError("the pickle gives a state to something that is no dictionary")

    def _collect(self, name: str) -> None:
        """The opcodes that put a row of items into a container."""
        if name in TUPLES:
            count = TUPLES[name]
            items = tuple(self.stack[-count:])
            if len(items) < count:
                raise IndexError(name)
            self.stack[-count:] = [items]
            return
        if name in ("SETITEM", "APPEND"):
            items_list = [self.stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
        elif name in ("SETITEMS", "APPENDS", "TUPLE", "LIST", "DICT", "POP_MARK"):
            items_list, self.stack = self.stack, self.marks.pop()
        else:
            raise SavedError(f"the pickle has the opcode {name}, which data do not need")
        if name == "TUPLE":
            self.stack.append(tuple(items_list))
        elif name == "LIST":
            self.stack.append(items_list)
        elif name == "DICT":
            self.stack.append(_paired({}, items_list))
        elif name.startswith("SETITEM"):
            _paired(self.stack[-1], items_list)
        elif name.startswith("APPEND"):
            _list(self.stack[-1]).extend(items_list)

    def _called(self, name: Any, arguments: Any) -> Any:
        """The few calls that make data, done here. Raises `SavedError` for all others."""
        called = _label(name)
        if called == "collections.OrderedDict" and arguments in ((), ([],)):
            return {}
        if called == "torch._utils._rebuild_tensor_v2":
            return _tensor(*arguments[:4])
        if called in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
            return _is_tensor(arguments[0])
        if called == "torch.Size":
            return tuple(_whole(size) for size in arguments[0])
        raise SavedError(f"the archive holds something other than tensors: its pickle calls {called}")

    def _storage(self, reference: Any) -> Storage:
        """The storage of ``("storage", type, key, place, numbers)``."""
        if not isinstance(reference, tuple) or len(reference) != 5:
            raise SavedError("the pickle refers to something that is no storage")
        _, type_, key, _, count = reference
        dtype = STORAGES.get(type_.name) if isinstance(type_, Name) and type_.module == "torch" else None
        if dtype is None or not isinstance(key, str):
            raise SavedError(f"the pickle refers to a storage of {_label(type_)}, which is not known")
        if key not in self.storages:
            raw = self.read(key)
            if len(raw) != _whole(count) * dtype.itemsize:
                raise SavedError(f"storage {key[:40]} has {len(raw):,} bytes, where {count:,} numbers are promised")
            values = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            self.storages[key] = Storage(values)
        if self.storages[key].values.dtype != dtype:
            raise SavedError(f"storage {key[:40]} is used as two types")
        return self.storages[key]


def _opcodes(pickle: bytes) -> Iterator[tuple[str, Any]]:
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            yield opcode.name, argument
    except (ValueError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise SavedError(f"the pickle is damaged ({str(error)[:80]})") from error


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> Tensor:
    """A view of ``storage`` that stays within it and shows no number twice."""
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise SavedError("a tensor has no storage or no shape")
    sizes, steps, start = [_whole(n) for n in shape], [_whole(n) for n in strides], _whole(offset)
    if len(sizes) != len(steps):
        raise SavedError("a tensor's shape and strides do not fit each other")
    held, count = storage.values.numel(), math.prod(sizes)
    if not count:
        return torch.empty(sizes if max(sizes, default=0) <= 1 << 31 else [0], dtype=storage.values.dtype)
    end = start + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if end >= held or count > held:
        raise SavedError("a tensor shows more numbers than its storage has")
    return torch.as_strided(storage.values, sizes, steps, start)


def _paired(target: Any, items: list[Any]) -> dict[Any, Any]:
    if not isinstance(target, dict) or len(items) % 2:
        raise SavedError("the pickle fills something that is no dictionary")
    if not all(isinstance(key, str | int) for key in items[::2]):
        raise SavedError("the pickle has a dictionary with keys that are neither text nor numbers")
    target.update(zip(items[::2], items[1::2], strict=True))
    return target


def _label(value: Any) -> str:
    """A name for messages; text of other values is never made: they can be nested without end."""
    return str(value)[:120] if isinstance(value, Name) else f"a {type(value).__name__}"


def _list(target: Any) -> list[Any]:
    if not isinstance(target, list):
        raise SavedError("the pickle appends to something that is no list")
    return target


def _is_tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise SavedError("a parameter is no tensor")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0 or value >> 62:
        raise SavedError("the sizes of a tensor are no whole numbers")
    return value


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
FRESH: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
LITERALS = frozenset({
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BININT", "BININT1", "BININT2", "INT", "LONG1", "LONG4",
    "LONG", "BINFLOAT", "FLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
})  # fmt: skip
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
