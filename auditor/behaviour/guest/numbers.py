"""Scores as Python numbers: a float that remembers which score it is, through arithmetic, until it is added up.

``total -= math.log(p)`` in a loop adds up scores one by one; each term goes to the recorder with the line.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

Term = Callable[[float, int], None]
"""Told of each term that is added up: its value and the number of its score."""
SUM = -2


class Number(float):
    """A score's value. ``label`` is its number, `SUM` for a running sum of several."""

    label: int
    term: Term

    def __new__(cls, value: float, label: int, term: Term) -> Number:
        """A float with a label."""
        self = super().__new__(cls, value)
        self.label, self.term = label, term
        return self

    def __reduce__(self) -> Any:
        return (float, (float(self),))

    def item(self) -> Number:
        """As numpy's scalars have it."""
        return self

    def _with(self, value: Any) -> Any:
        if type(value) is not float:
            return value
        return Number(value, self.label, self.term)

    def _scaled(self, value: Any, other: Any) -> Any:
        """After a product, quotient or power: a sum of scores is done, a score stays one."""
        if self.label == SUM:
            return value
        if isinstance(other, Number) and other.label != self.label:
            return value
        return self._with(value)

    def _added(self, value: Any, left: Any, right: Any) -> Any:
        """After a sum or difference of ``left`` and ``right``, one of which is this number."""
        if type(value) is not float or not (isinstance(left, Number) and isinstance(right, Number)):
            return self._with(value)
        if left.label == right.label != SUM:
            return self._with(value)
        if left.label != SUM:
            self.term(float(left), left.label)
        if right.label != SUM:
            self.term(value - float(left), right.label)
        return Number(value, SUM, self.term)

    def __add__(self, other: Any) -> Any:
        return self._added(float.__add__(self, other), self, other)

    def __radd__(self, other: Any) -> Any:
        return self._added(float.__radd__(self, other), other, self)

    def __sub__(self, other: Any) -> Any:
        return self._added(float.__sub__(self, other), self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._added(float.__rsub__(self, other), other, self)

    def __mul__(self, other: Any) -> Any:
        return self._scaled(float.__mul__(self, other), other)

    def __rmul__(self, other: Any) -> Any:
        return self._scaled(float.__rmul__(self, other), other)

    def __truediv__(self, other: Any) -> Any:
        return self._scaled(float.__truediv__(self, other), other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._scaled(float.__rtruediv__(self, other), other)

    def __pow__(self, other: Any, mod: None = None) -> Any:
        return self._scaled(float.__pow__(self, other), other)

    def __neg__(self) -> Any:
        return self._with(float.__neg__(self))

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self._with(float.__abs__(self))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [float(i) if isinstance(i, Number) else i for i in inputs]
        result = getattr(ufunc, method)(*plain, **kwargs)
        if method == "__call__" and len(inputs) == 1 and isinstance(result, float) and self.label != SUM:
            return Number(float(result), self.label, self.term)
        if method == "__call__" and len(inputs) == 2 and isinstance(result, float) and ufunc in _BINARY:
            left, right = (i if isinstance(i, Number) else float(i) for i in inputs)
            return _BINARY[ufunc](left, right)
        return result


_BINARY: dict[Any, Callable[[Any, Any], Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.divide: operator.truediv,
    np.minimum: min, np.maximum: max,
}  # fmt: skip
MATH = ("log", "log2", "log10", "log1p", "exp", "expm1", "sqrt")


def keeping(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `math` that keeps the label of its first argument."""

    def call(value: Any, *rest: Any) -> Any:
        result = function(value, *rest)
        if type(value) is Number and value.label != SUM:
            return Number(result, value.label, value.term)
        return result

    call.__name__ = function.__name__
    return call


def numbered(values: Any, labels: Any, term: Term) -> Any:
    """Nested lists of floats as numbers, with nested lists of labels of the same shape (-1: none)."""
    if isinstance(values, list):
        return [numbered(v, label, term) for v, label in zip(values, labels, strict=True)]
    if type(values) is float and labels >= 0 and math.isfinite(values):
        return Number(values, labels, term)
    return values


def terms_of(values: Any) -> list[Number] | None:
    """The numbers of a flat list or tuple that begins with one; None for anything else."""
    if type(values) in (list, tuple) and values and type(values[0]) is Number:
        return [v for v in values if type(v) is Number]
    return None
