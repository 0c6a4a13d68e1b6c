"""Values for following the sequence axis through a model's forward pass.

A tensor is known by the names of its axes and by what each slot of its sequence axis ``T`` can know: ``shift`` is the
number of positions that a slot may look ahead (0: its own token, -1: the one before, 1: the next; None: not known).
``pooled`` holds the path by which a value without a sequence axis got to know the whole sequence (a mean over it, its
last position); ``mixed`` the path by which every position got to know later ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from auditor.core.types import PathStep

T, B, D, ONE, KEYS = "T", "B", "D", "1", "K"
Dims = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """How a value got to know later positions; ``sure`` is False when a step on the way was only assumed."""

    steps: tuple[PathStep, ...]
    sure: bool = True

    def then(self, step: PathStep, *, sure: bool = True) -> Trail:
        """The trail with one more step (at most eight are kept)."""
        return Trail((*self.steps, step)[:8], self.sure and sure)

    def unsure(self) -> Trail:
        """The same trail, assumed."""
        return replace(self, sure=False)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that depends on the input tokens."""

    dims: Dims | None = None
    shift: int | None = 0
    pooled: Trail | None = None
    mixed: Trail | None = None
    masked: bool = False
    """Attention scores: later keys may have been masked away."""
    is_input: bool = False
    """The token ids themselves."""
    ahead: Trail | None = None
    """The step that gave a positive ``shift``."""

    def axis(self, index: int) -> str | None:
        """The name of axis ``index``, negative from the end; None when not known."""
        if self.dims is None or not -len(self.dims) <= index < len(self.dims):
            return None
        return self.dims[index]

    @property
    def has_sequence(self) -> bool:
        """Whether a sequence axis is known to be there."""
        return self.dims is not None and T in self.dims

    def with_dims(self, dims: Dims | None) -> Tensor:
        """The same knowledge under other axes."""
        return replace(self, dims=dims)


@dataclass(frozen=True, slots=True)
class Size:
    """The length of an axis: its name; ``number`` when it is a literal."""

    axis: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """``x.shape``."""

    dims: Dims | None


@dataclass(frozen=True, slots=True)
class Plain:
    """A Python constant."""

    value: object


@dataclass(frozen=True, slots=True)
class Parts:
    """A tuple or list."""

    items: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """A submodule: a class of the submission (``name``), or one of ``torch.nn`` with its constructor's constants."""

    name: str
    options: tuple[tuple[str, object], ...] = ()


UNKNOWN = Plain(...)
"""Anything that does not depend on the tokens, or is not known."""
Value = object


def is_unknown(value: Value) -> bool:
    """Whether nothing is known of ``value``."""
    return isinstance(value, Plain) and value.value is ...


def combine(values: list[Value], step: PathStep, *, sure: bool = True) -> Value:
    """The result of an element-wise operation on ``values``: every slot knows what all of them know.

    A pooled value that meets a sequence axis spreads over it: the result is mixed.
    """
    tensors = [v for v in values if isinstance(v, Tensor)]
    if not tensors:
        return UNKNOWN
    dims = _broadcast(tensors)
    known = [t for t in tensors if t.dims is None or T in t.dims]
    shifts = [t.shift for t in known]
    shift = None if None in shifts else max((s for s in shifts if s is not None), default=0)
    mixed = next((t.mixed for t in tensors if t.mixed), None)
    pooled = next((t.pooled for t in tensors if t.pooled and not t.has_sequence), None)
    if pooled and any(t.has_sequence for t in tensors) and mixed is None:
        mixed = pooled.then(step, sure=sure)
        pooled = None
    ahead = next((t.ahead for t in tensors if t.ahead and t.shift == shift), None)
    return Tensor(dims, shift, pooled, mixed, any(t.masked for t in tensors), False, ahead)


def _broadcast(tensors: list[Tensor]) -> Dims | None:
    known = [t.dims for t in tensors if t.dims is not None]
    return _longest(known) if known else None


def _longest(known: list[Dims]) -> Dims | None:
    width = max(len(d) for d in known)
    out: list[str] = []
    for i in range(1, width + 1):
        names = [d[-i] for d in known if len(d) >= i and d[-i] != ONE]
        if T in names and len(set(names)) > 1:
            return None  # these do not fit: the axes were not followed right
        out.append(T if T in names else names[0] if names else ONE)
    return tuple(reversed(out))


def join(a: Value, b: Value) -> Value:
    """What is known when either of two branches ran. Anything learned in only one branch is not sure."""
    if a == b:
        return a
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        mixed = _either(a.mixed, b.mixed)
        shift = a.shift if a.shift == b.shift else _worse(a.shift, b.shift)
        ahead = a.ahead or b.ahead
        return Tensor(
            a.dims if a.dims == b.dims else None,
            shift,
            _either(a.pooled, b.pooled),
            mixed,
            a.masked or b.masked,
            a.is_input and b.is_input,
            ahead if a.shift == b.shift else ahead.unsure() if ahead else None,
        )
    if isinstance(a, Parts) and isinstance(b, Parts) and len(a.items) == len(b.items):
        return Parts(tuple(join(x, y) for x, y in zip(a.items, b.items, strict=True)))
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        one = a if isinstance(a, Tensor) else b
        assert isinstance(one, Tensor)
        return replace(
            one, mixed=one.mixed.unsure() if one.mixed else None, pooled=one.pooled.unsure() if one.pooled else None
        )
    return UNKNOWN


def _either(a: Trail | None, b: Trail | None) -> Trail | None:
    if a and b:
        return a if a.sure else b
    one = a or b
    return one.unsure() if one else None


def _worse(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else max(a, b)
