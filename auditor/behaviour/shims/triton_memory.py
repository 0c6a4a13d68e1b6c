"""Memory as a Triton kernel sees it, over torch tensors: pointers, block pointers and tensor descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

_tensor, _as_tensor = torch.tensor, torch.as_tensor
"""Bound here, before anything records calls to them."""
_together: Any = torch.broadcast_tensors


@dataclass(frozen=True)
class Kind:
    """The type of a pointer."""

    element_ty: torch.dtype


@dataclass(frozen=True)
class Pointer:
    """Addresses of elements: ``offset`` (in elements, any shape) into the flat ``store`` of a tensor."""

    store: Tensor
    offset: Any

    @property
    def dtype(self) -> Kind:
        """Its type; ``.element_ty`` is that of what it points to."""
        return Kind(self.store.dtype)

    type = dtype

    def __add__(self, other: Any) -> Pointer:
        return replace(self, offset=_long(self.offset) + _long(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Pointer:
        return replace(self, offset=_long(self.offset) - _long(other))

    def __getitem__(self, key: Any) -> Pointer:
        return replace(self, offset=self.offset[key])

    def to(self, kind: Any, **options: Any) -> Pointer:
        """Pointer casts keep the elements as they are."""
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the block of addresses."""
        return tuple(self.offset.shape)


def _long(value: Any) -> Any:
    return value.long() if isinstance(value, Tensor) else int(value)


def pointer(tensor: Tensor) -> Pointer:
    """To the first element of ``tensor``, over all of its storage."""
    plain = tensor.detach()
    size = plain.untyped_storage().nbytes() // plain.element_size()
    return Pointer(plain.as_strided((size,), (1,), 0), _tensor(plain.storage_offset()))


@dataclass(frozen=True)
class BlockPointer:
    """``tl.make_block_ptr``: a block of ``block_shape`` at ``offsets`` of a strided tensor."""

    base: Pointer
    shape: Sequence[Any]
    strides: Sequence[Any]
    offsets: Sequence[Any]
    block_shape: Sequence[Any]

    def advance(self, by: Sequence[Any]) -> BlockPointer:
        """The block ``by`` further on, per dimension."""
        return replace(self, offsets=[int(a) + int(b) for a, b in zip(self.offsets, by, strict=True)])

    def read(self) -> Tensor:
        """The block's elements; zeros outside the tensor."""
        inside, place, whole = self._window()
        if whole:
            return inside.clone()
        block = inside.new_zeros([int(n) for n in self.block_shape])
        block[place] = inside
        return block

    def write(self, value: Any) -> None:
        """Store ``value`` (broadcast to the block); what lies outside the tensor is dropped."""
        inside, place, whole = self._window()
        value = _as_tensor(value)
        inside.copy_(value if whole else value.expand([int(n) for n in self.block_shape])[place])

    def _window(self) -> tuple[Tensor, tuple[slice, ...], bool]:
        """The part of the block inside the tensor, as a view; where it lies in the block; whether it is all of it."""
        shape, strides = [int(n) for n in self.shape], [int(n) for n in self.strides]
        block, first = [int(n) for n in self.block_shape], [int(n) for n in self.offsets]
        low = [min(max(o, 0), n) for o, n in zip(first, shape, strict=True)]
        high = [max(a, min(o + b, n)) for a, o, b, n in zip(low, first, block, shape, strict=True)]
        start = int(self.base.offset) + sum(a * s for a, s in zip(low, strides, strict=True))
        sizes = [b - a for a, b in zip(low, high, strict=True)]
        place = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, first, strict=True))
        return self.base.store.as_strided(sizes, strides, start if all(sizes) else 0), place, sizes == block


class TensorDescriptor:
    """``triton.tools.tensor_descriptor.TensorDescriptor``: blocks outside the tensor read as zeros."""

    def __init__(self, base: Tensor, shape: Sequence[int], strides: Sequence[int], block_shape: Sequence[int],
                 padding: str = "zero") -> None:  # fmt: skip
        self.base, self.shape, self.strides, self.block_shape = base, list(shape), list(strides), list(block_shape)
        self.dtype = base.dtype

    @classmethod
    def from_tensor(cls, tensor: Tensor, block_shape: Sequence[int], padding: str = "zero") -> TensorDescriptor:
        """Describe a whole tensor."""
        return cls(tensor, tensor.shape, tensor.stride(), block_shape)

    def block(self, offsets: Sequence[Any]) -> BlockPointer:
        """The block whose first element is at ``offsets``."""
        start = pointer(self.base) if isinstance(self.base, Tensor) else self.base
        return BlockPointer(start, self.shape, self.strides, offsets, self.block_shape)

    def load(self, offsets: Sequence[Any]) -> Tensor:
        """The block at ``offsets``."""
        return load(self.block(offsets))

    def store(self, offsets: Sequence[Any], value: Tensor) -> None:
        """Write the block at ``offsets``; what lies outside is dropped."""
        store(self.block(offsets), value)


def load(source: Any, mask: Any = None, other: Any = None, *args: Any, **options: Any) -> Tensor:
    """``tl.load``: elements at ``source``; ``other`` (0 without it) where ``mask`` is false (else IndexError)."""
    if isinstance(source, BlockPointer):
        return source.read()
    offset = _as_tensor(source.offset)
    data: Tensor = source.store
    if mask is None:
        return data[offset]
    offset, mask = _together(offset, _as_tensor(mask).bool())
    values = data[torch.where(mask, offset, 0)]
    fill = _as_tensor(0 if other is None else other).to(values.dtype)
    return torch.where(mask, values, fill)


def store(target: Any, value: Any, mask: Any = None, *args: Any, **options: Any) -> None:
    """``tl.store``: write ``value`` where ``mask`` is true, cast to the type of the memory."""
    if isinstance(target, BlockPointer):
        target.write(value)
        return
    if mask is None:
        offset, value = _together(_as_tensor(target.offset), _as_tensor(value))
        target.store[offset] = value.to(target.store.dtype)
        return
    offset, value, mask = _aligned(target, value, mask)
    target.store[offset[mask]] = value[mask].to(target.store.dtype)


def _aligned(target: Any, value: Any, mask: Any) -> tuple[Tensor, Tensor, Tensor]:
    shaped = [
        _as_tensor(target.offset),
        _as_tensor(value),
        _as_tensor(True if mask is None else mask).bool(),
    ]
    offset, value, mask = _together(*shaped)
    return offset, value, mask


def atomic_add(target: Pointer, value: Any, mask: Any = None, *args: Any, **options: Any) -> Tensor:
    """``tl.atomic_add``: addresses that occur twice are added to twice. Returns what stood there before."""
    offset, value, mask = _aligned(target, value, mask)
    before = load(target, mask)
    target.store.index_add_(0, offset[mask], value[mask].to(target.store.dtype))
    return before


def atomic_max(target: Pointer, value: Any, mask: Any = None, *args: Any, **options: Any) -> Tensor:
    """``tl.atomic_max``."""
    return _reduce(target, value, mask, "amax")


def atomic_min(target: Pointer, value: Any, mask: Any = None, *args: Any, **options: Any) -> Tensor:
    """``tl.atomic_min``."""
    return _reduce(target, value, mask, "amin")


def _reduce(target: Pointer, value: Any, mask: Any, how: str) -> Tensor:
    offset, value, mask = _aligned(target, value, mask)
    before = load(target, mask)
    target.store.scatter_reduce_(0, offset[mask], value[mask].to(target.store.dtype), how)
    return before
