"""What the tensor operations of a forward pass do to the sequence axis.

`Operations.call` answers for functions and methods of torch by name; None means "not one that is known here". The
rules are conservative: an unknown operation keeps what its arguments know and forgets the axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from auditor.core.types import PathStep
from auditor.source.metric.axes import (
    KEYS,
    ONE,
    UNKNOWN,
    D,
    Dims,
    Parts,
    Plain,
    Size,
    Sizes,
    T,
    Tensor,
    Trail,
    Value,
    combine,
    is_unknown,
)

KEEP = frozenset(
    {
        "relu",
        "sigmoid",
        "tanh",
        "silu",
        "gelu",
        "float",
        "to",
        "contiguous",
        "type_as",
        "dropout",
        "clamp",
        "square",
        "pow",
        "exp",
        "softplus",
        "detach",
        "bfloat16",
        "half",
        "abs",
        "neg",
        "sqrt",
        "clone",
        "log",
        "rsqrt",
        "leaky_relu",
        "double",
        "long",
        "int",
        "cuda",
        "cpu",
        "rms_norm",
        "layer_norm",
        "log1p",
        "sin",
        "cos",
        "round",
        "floor",
        "sign",
        "elu",
        "selu",
        "relu_",
        "mul_",
        "add_",
        "normalize",
        "nan_to_num",
        "bool",
        "clip",
        "clamp_min",
        "clamp_max",
        "remainder",
        "requires_grad_",
        "checkpoint_name",
        "hardtanh",
        "mish",
        "softsign",
        "logsigmoid",
        "erf",
        "reciprocal",
        "linear",
        "item",
        "compile",
        "bitwise_xor",
        "mul",
        "add",
        "sub",
        "div",
        "lerp",
        "addcmul",
        "where",
        "maximum",
        "minimum",
        "logical_and",
        "logical_or",
        "logical_not",
        "fmod",
        "eq",
        "ne",
        "lt",
        "gt",
        "le",
        "ge",
        "type",
        "zero_",
        "copy_",
        "one_hot",
        "rms_norm_fn",
        "fused_rms_norm",
    }
)
_REDUCE = frozenset(
    {
        "mean",
        "sum",
        "amax",
        "amin",
        "max",
        "min",
        "std",
        "var",
        "norm",
        "logsumexp",
        "prod",
        "median",
        "argmax",
        "any",
        "all",
        "std_mean",
        "var_mean",
        "vector_norm",
    }
)
_SCAN = frozenset({"cumsum", "cumprod", "cummax", "logcumsumexp", "cummin"})
Sure = Callable[[str, int], PathStep]


def reduce_over(value: Tensor, axes: list[int] | None, keep: bool, step: PathStep, name: str) -> Value:
    """A reduction. Over the sequence axis the result knows the whole sequence, without having the axis."""
    if axes is None or value.dims is None:
        pooled = value.pooled
        if axes is None and value.has_sequence and not value.masked:
            pooled = pooled or Trail(
                (PathStep(step.file, step.line, f"{name}() over all positions at once"),), sure=False
            )
        return replace(value, dims=None if axes is not None else (), pooled=pooled, is_input=False)
    width = len(value.dims)
    chosen = {a % width for a in axes if -width <= a < width}
    dims: Dims = tuple(ONE if i in chosen else d for i, d in enumerate(value.dims) if keep or i not in chosen)
    if T in [value.dims[i] for i in chosen]:
        trail = value.pooled or Trail((step,))
        return replace(value, dims=dims, pooled=trail, is_input=False, shift=0, ahead=None)
    if KEYS in [value.dims[i] for i in chosen] and not value.masked:
        return replace(value, dims=dims, is_input=False)
    return replace(value, dims=dims, is_input=False)


def is_reduction(name: str) -> bool:
    """Whether ``name`` is a reduction."""
    return name in _REDUCE


def is_scan(name: str) -> bool:
    """Whether ``name`` accumulates along an axis, front to back."""
    return name in _SCAN


def softmax(value: Tensor, axis: int | None, step: PathStep) -> Value:
    """Softmax over keys without a mask, or over the sequence itself, lets later positions in."""
    name = value.axis(axis) if axis is not None else None
    if name == KEYS and not value.masked and value.mixed is None:
        return replace(value, mixed=Trail((step,)))
    if name == T and value.mixed is None and not value.masked:
        note = PathStep(step.file, step.line, "softmax over the sequence axis: every position's weight depends on all")
        return replace(value, mixed=Trail((note,)))
    return replace(value, is_input=False)


def matmul(left: Value, right: Value, step: PathStep) -> Value:
    """``left @ right``: attention scores when both have a sequence axis, else a projection or a mixing of values."""
    a, b = left, right
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        one = a if isinstance(a, Tensor) else b
        return _projected(one, isinstance(a, Tensor), step) if isinstance(one, Tensor) else UNKNOWN
    both = combine([a, b], step)
    assert isinstance(both, Tensor)
    if a.dims is None or b.dims is None or len(a.dims) < 2 or len(b.dims) < 2:
        return replace(both, dims=None)
    rows, inner, columns = a.dims[-2], a.dims[-1], b.dims[-1]
    if rows == T and columns == T and inner != T:
        return replace(both, dims=(*a.dims[:-1], KEYS), masked=False)
    if inner == KEYS and b.dims[-2] == T:
        return replace(both, dims=(*a.dims[:-1], columns), masked=False)
    if inner == T and rows != T and b.dims[-2] == T:
        trail = both.pooled or Trail((PathStep(step.file, step.line, "a product that sums over the sequence axis"),))
        return replace(both, dims=(*a.dims[:-1], columns), pooled=trail, shift=0, ahead=None)
    return replace(both, dims=(*a.dims[:-1], columns))


def _projected(value: Tensor, on_left: bool, step: PathStep) -> Value:
    """A product with something that does not depend on the tokens (weights, a mask)."""
    if value.dims is None or not value.dims:
        return replace(value, dims=None, is_input=False)
    if on_left:
        if value.dims[-1] in {T, KEYS}:
            return replace(value, dims=None, is_input=False)
        return replace(value, dims=(*value.dims[:-1], D), is_input=False)
    return replace(value, dims=None, is_input=False)


def reshape(value: Tensor, sizes: list[Value]) -> Value:
    """``view``, ``reshape``, ``expand``: axes by the names of their lengths."""
    if len(sizes) == 1 and isinstance(sizes[0], Parts):
        sizes = list(sizes[0].items)
    if len(sizes) == 1 and isinstance(sizes[0], Sizes):
        return replace(value, dims=sizes[0].dims)
    names = [_axis_name(size) for size in sizes]
    if value.dims is not None and "?" in names and names.count("?") == 1:
        left = [d for d in value.dims if d not in names and d != ONE]
        names = [(left[0] if len(left) == 1 else "*" if left else ONE) if n == "?" else n for n in names]
    if value.dims is not None and T in value.dims and T not in names:
        return replace(value, dims=None if "*" not in names and "BT" not in names else tuple(names), is_input=False)
    return replace(value, dims=tuple(names), is_input=value.is_input and len(names) == 2)


def _axis_name(size: Value) -> str:
    if isinstance(size, Size):
        return size.axis
    if isinstance(size, Plain) and size.value == -1:
        return "?"
    if isinstance(size, Plain) and size.value == 1:
        return ONE
    return D


def moved(dims: Dims | None, first: int, second: int) -> Dims | None:
    """``transpose``."""
    if dims is None or not all(-len(dims) <= i < len(dims) for i in (first, second)):
        return None
    out = list(dims)
    out[first], out[second] = out[second], out[first]
    return tuple(out)


def permuted(dims: Dims | None, order: list[int]) -> Dims | None:
    """``permute``."""
    if dims is None or len(order) != len(dims) or sorted(i % len(dims) for i in order) != list(range(len(dims))):
        return None
    return tuple(dims[i] for i in order)


def concatenated(parts: list[Value], axis: int, step: PathStep, lengths: list[int | None]) -> Value:
    """``torch.cat``: along the sequence axis whatever stands in front moves the rest back by its length."""
    tensors = [p for p in parts if isinstance(p, Tensor)]
    seen = False
    ordered: list[Value] = []
    for part in parts:  # what is put behind the sequence is seen by no earlier position
        behind = seen and isinstance(part, Tensor) and not part.has_sequence and part.axis(axis) == ONE
        ordered += [] if behind else [part]
        seen = seen or (isinstance(part, Tensor) and part.axis(axis) == T)
    whole = combine(ordered, step)
    if not isinstance(whole, Tensor):
        return UNKNOWN
    width = max((len(t.dims) for t in tensors if t.dims is not None), default=0)
    along = [t.dims[axis] for t in tensors if t.dims is not None and -len(t.dims) <= axis < len(t.dims)]
    if not along or (T not in along and ONE not in along) or width == 0 or T not in along:
        return replace(whole, masked=False)
    front, shift, known, ahead = 0, None, True, None
    for part, length in zip(parts, lengths, strict=True):
        if isinstance(part, Tensor) and part.has_sequence:
            if part.shift is None or not known:
                return replace(whole, shift=None)
            here = part.shift - front
            if shift is None or here > shift:
                shift, ahead = here, part.ahead
        if length is None:
            known = False
        else:
            front += length
    return replace(
        whole, shift=shift if shift is not None else whole.shift, ahead=ahead if shift and shift > 0 else None
    )


def sliced(value: Tensor, axis: int, start: Value, stop: Value, step: PathStep) -> Tensor:
    """``x[:, a:b]`` along the sequence axis: dropping the first ``a`` slots lets each remaining slot look ahead."""
    if value.axis(axis) != T:
        return replace(value, is_input=value.is_input)
    first = start.value if isinstance(start, Plain) else None
    if first is None or first == 0 or value.shift is None:
        return value if first in (None, 0) and not is_unknown(start) else replace(value, shift=None)
    if not isinstance(first, int):
        return replace(value, shift=None)
    if first < 0:
        dims = tuple(ONE if i == axis % len(value.dims or ()) else d for i, d in enumerate(value.dims or ()))
        if first == -1:
            note = PathStep(step.file, step.line, "the last position is taken out")
            return replace(value, dims=dims, pooled=value.pooled or Trail((note,)), shift=0)
        return replace(value, dims=None, shift=None)
    shift = value.shift + first
    return replace(value, shift=shift, ahead=Trail((step,)) if shift > 0 else None)
