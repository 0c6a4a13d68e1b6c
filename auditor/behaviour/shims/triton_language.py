"""``triton.language`` over torch tensors: blocks are tensors, scalars are tensors without dimensions.

Only what a single program instance computes is imitated; launching is in `auditor.behaviour.shims.triton`. Reductions
and dot products are accumulated in float32, as on the device.
"""

from __future__ import annotations

import builtins
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from auditor.behaviour.shims import triton_memory as memory

_as = torch.as_tensor
_together: Any = torch.broadcast_tensors
_arange, _full = torch.arange, torch.full
_state = threading.local()


class constexpr:
    """``tl.constexpr``: the annotation of a compile-time argument; called, it gives back its value."""

    def __new__(cls, value: Any = None) -> Any:
        """The value itself."""
        return value


def set_program(ids: tuple[int, ...], grid: tuple[int, ...]) -> None:
    """Say which instance of which grid runs on this thread."""
    _state.ids, _state.grid = ids, grid


def set_lanes(ids: tuple[Tensor, Tensor, Tensor], grid: tuple[int, ...]) -> None:
    """Run many instances at once: scalars have shape [instances, 1] and blocks [instances, size]."""
    _state.ids, _state.grid, _state.lanes = ids, grid, True


def running() -> bool:
    """Whether a kernel runs on this thread."""
    return getattr(_state, "ids", None) is not None


def stop() -> None:
    """No kernel runs on this thread any more."""
    _state.ids, _state.lanes = None, False


def _lanes() -> bool:
    return bool(getattr(_state, "lanes", False))


def program_id(axis: int = 0) -> Tensor:
    """This instance's number along ``axis``."""
    return _as(_state.ids[axis], dtype=torch.int32)


def num_programs(axis: int = 0) -> Tensor:
    """How many instances there are along ``axis``."""
    return _as(_state.grid[axis], dtype=torch.int32)


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in (shape if isinstance(shape, Sequence | tuple) else (shape,)))


def _axis(axis: Any) -> Any:
    return None if axis is None else int(axis)


def _wide(value: Any) -> Tensor:
    """Half-precision values in float32, small integers in int32: what reductions work in."""
    x: Tensor = _as(value)
    if x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    return x.int() if x.dtype in (torch.bool, torch.int8, torch.int16, torch.uint8) else x


def _reduction(how: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(input: Any, axis: Any = None, keep_dims: bool = False, *args: Any, **options: Any) -> Tensor:
        x, axis = _wide(input), _axis(axis)
        if _lanes():
            return how(x, -1, True)
        if axis is None:
            x, axis = x.reshape(-1), 0
        return how(x, axis, bool(keep_dims))

    return reduce


def _extreme(how: str, input: Any, axis: Any, return_indices: bool, keep_dims: bool) -> Any:
    x, axis = _as(input), _axis(axis)
    if _lanes():
        axis, keep_dims = -1, True
    elif axis is None:
        x, axis = x.reshape(-1), 0
    values, places = getattr(torch, how)(x, axis, keepdim=keep_dims)
    return (values, places.int()) if return_indices else values


def max(input: Any, axis: Any = None, return_indices: bool = False, return_indices_tie_break_left: bool = True,
        keep_dims: bool = False) -> Any:  # fmt: skip
    """Largest entry along ``axis`` (of all without it), and its place with ``return_indices``."""
    return _extreme("max", input, axis, return_indices, keep_dims)


def min(input: Any, axis: Any = None, return_indices: bool = False, return_indices_tie_break_left: bool = True,
        keep_dims: bool = False) -> Any:  # fmt: skip
    """Smallest entry along ``axis`` (of all without it), and its place with ``return_indices``."""
    return _extreme("min", input, axis, return_indices, keep_dims)


def dot(input: Any, other: Any, acc: Any = None, *args: Any, **options: Any) -> Tensor:
    """Matrix product (batched for three dimensions), plus ``acc``; float32 for floating inputs, int32 for integers."""
    if input.is_floating_point():
        product = torch.matmul(input.float(), other.float())
    else:
        product = torch.matmul(input.long(), other.long()).int()
    out = product if acc is None else product + acc
    return out.to(options["out_dtype"]) if options.get("out_dtype") is not None else out


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """``x`` where the condition holds, else ``y``."""
    return torch.where(_as(condition).bool(), x, y)


def split(a: Tensor) -> tuple[Tensor, Tensor]:
    """The two halves of a last dimension of size 2."""
    return a[..., 0], a[..., 1]


def join(a: Tensor, b: Tensor) -> Tensor:
    """Two blocks along a new last dimension."""
    return torch.stack(_together(a, b), -1)


def _permute(input: Tensor, *dims: Any) -> Tensor:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence | tuple) else dims
    return input.permute(*order) if order else input.transpose(-1, -2)


def _reshape(input: Tensor, *shape: Any, **options: Any) -> Tensor:
    return input.reshape(_shape(shape[0] if len(shape) == 1 else shape))


def softmax(x: Any, dim: Any = None, *args: Any, **options: Any) -> Tensor:
    """Along ``dim``, by default the first."""
    return torch.softmax(_wide(x), 0 if dim is None else int(dim))


def cdiv(x: Any, div: Any) -> Any:
    """``x / div`` rounded up."""
    return (x + div - 1) // div


def _loop(*bounds: Any, **options: Any) -> builtins.range:
    named = [options[key] for key in ("arg1", "arg2", "step") if key in options]
    return builtins.range(*(int(bound) for bound in (*bounds, *named)))


def _same(x: Any, *args: Any, **options: Any) -> Any:
    """Hints to the compiler."""
    return x


def _nothing(*args: Any, **options: Any) -> None:
    """Barriers, prints and the like."""


def _check(condition: Any, *message: Any, **options: Any) -> None:
    if not bool(_as(condition).all()):
        raise AssertionError(*message)


def _make_block_ptr(base: Any, shape: Any, strides: Any, offsets: Any, block_shape: Any, order: Any = None) -> Any:
    return memory.BlockPointer(base, shape, strides, offsets, block_shape)


def _elementwise() -> dict[str, Callable[..., Tensor]]:
    """Functions of one or two numbers, by their names in torch."""
    one = ("exp", "exp2", "log", "log2", "log1p", "expm1", "sqrt", "rsqrt", "sigmoid", "tanh", "abs", "cos", "sin",
           "erf", "floor", "ceil", "round", "isnan", "isinf", "sinh", "cosh", "tan", "atan", "asin",
           "acos")  # fmt: skip
    two = ("maximum", "minimum", "pow", "fmod", "atan2")
    found = {name: _from_torch(name) for name in (*one, *two)}
    return found | {
        "sqrt_rn": found["sqrt"], "fabs": found["abs"], "div_rn": lambda x, y: x / y, "fdiv": lambda x, y, **o: x / y,
        "fma": lambda x, y, z, **o: x * y + z, "clamp": lambda x, low, high, **o: torch.clamp(_as(x), low, high),
        "popc": _popcount, "softmax": softmax,
    }  # fmt: skip


def _from_torch(name: str) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(torch, name)
    return lambda *args, **options: function(*map(_as, args))


def _popcount(x: Any) -> Tensor:
    x = _as(x)
    return builtins.sum(((x >> bit) & 1 for bit in builtins.range(x.element_size() * 8)), torch.zeros_like(x)).int()


def _dtypes() -> dict[str, Any]:
    names = ("float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16",
             "uint32", "uint64")  # fmt: skip
    return {name: getattr(torch, name) for name in names} | {
        "int1": torch.bool, "float8e4nv": torch.float8_e4m3fn, "float8e5": torch.float8_e5m2, "void": None,
    }  # fmt: skip


def contents() -> dict[str, Any]:
    """Everything that the module ``triton.language`` holds."""
    reductions = {
        "sum": _reduction(lambda x, axis, keep: x.sum(axis, keepdim=keep)),
        "argmax": _reduction(lambda x, axis, keep: x.argmax(axis, keepdim=keep).int()),
        "argmin": _reduction(lambda x, axis, keep: x.argmin(axis, keepdim=keep).int()),
        "xor_sum": _reduction(lambda x, axis, keep: _xor(x, axis, keep)),
        "cumsum": lambda x, axis=0, reverse=False, **o: _scan(torch.cumsum, x, axis, reverse),
        "cumprod": lambda x, axis=0, reverse=False, **o: _scan(torch.cumprod, x, axis, reverse),
    }
    shapes = {
        "arange": lambda start, end: _arange(int(start), int(end), dtype=torch.int32),
        "zeros": lambda shape, dtype: _full(_shape(shape), 0, dtype=dtype),
        "full": _filled,
        "zeros_like": torch.zeros_like, "reshape": _reshape, "view": _reshape, "permute": _permute, "trans": _permute,
        "broadcast_to": lambda x, *shape: _as(x).expand(_shape(shape[0] if len(shape) == 1 else shape)),
        "broadcast": lambda x, y: _together(x, y), "expand_dims": lambda x, axis: x.unsqueeze(axis),
        "ravel": lambda x, **o: x.reshape(-1), "cat": lambda a, b, **o: torch.cat((a, b)), "flip": _flip,
        "split": split, "join": join, "interleave": lambda a, b: join(a, b).flatten(-2),
        "gather": lambda x, i, axis: x.gather(axis, i.long()),
        "cast": lambda x, dtype, bitcast=False, **o: _as(x).view(dtype) if bitcast else _as(x).to(dtype),
        "sort": lambda x, dim=-1, descending=False: x.sort(dim, descending=bool(descending)).values,
    }  # fmt: skip
    memory_access = {
        "load": memory.load, "store": memory.store, "atomic_add": memory.atomic_add, "atomic_max": memory.atomic_max,
        "atomic_min": memory.atomic_min, "make_block_ptr": _make_block_ptr,
        "advance": lambda block, by: block.advance(by),
        "make_tensor_descriptor": lambda base, shape, strides, block_shape, **o: memory.TensorDescriptor(
            base, shape, strides, block_shape),
    }  # fmt: skip
    hints = dict.fromkeys(("multiple_of", "max_contiguous", "max_constancy", "assume"), _same)
    silent = dict.fromkeys(("debug_barrier", "static_print", "device_print"), _nothing)
    control = {"program_id": program_id, "num_programs": num_programs, "range": _loop, "static_range": _loop,
               "cdiv": cdiv, "static_assert": _check, "device_assert": _check,
               "constexpr": constexpr, "tensor": Tensor}  # fmt: skip
    rest = {"max": max, "min": min, "dot": dot, "where": where}
    return {
        **_elementwise(),
        **reductions,
        **shapes,
        **memory_access,
        **hints,
        **silent,
        **control,
        **rest,
        **_dtypes(),
    }


def _filled(shape: Any, value: Any, dtype: torch.dtype) -> Tensor:
    return _full(_shape(shape), float(value) if dtype.is_floating_point else int(value), dtype=dtype)


def _flip(x: Tensor, dim: Any = None) -> Tensor:
    return x.flip(x.dim() - 1 if dim is None else int(dim))


def _scan(how: Callable[..., Tensor], x: Tensor, axis: int, reverse: bool) -> Tensor:
    x = _wide(x)
    return how(x.flip(axis), axis).flip(axis) if reverse else how(x, axis)


def _xor(x: Tensor, axis: int, keep: bool) -> Tensor:
    total = torch.zeros_like(x.select(axis, 0))
    for part in x.unbind(axis):
        total = total ^ part
    return total.unsqueeze(axis) if keep else total
