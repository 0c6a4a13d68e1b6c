"""Which score each tensor element is: labels that follow per-token losses through slices, casts and arithmetic.

Every per-token loss that the guest computes gets a number. The numbers are kept beside tensors and arrays as int64
arrays of the same shape (-1: no score), by the identity of the object.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from auditor.behaviour.guest.numbers import Number, numbered

Labels = NDArray[np.int64]
NUMPYISH = {
    "reshape", "view", "__getitem__", "squeeze", "unsqueeze", "flatten", "ravel", "transpose", "t", "permute", "expand",
    "masked_select", "index_select", "narrow", "select", "reshape_as", "view_as", "expand_as", "unflatten", "swapaxes",
    "movedim", "flip", "take",
}  # fmt: skip
MAX_LABELS = 1 << 22


class LabelBook:
    """Labels of live tensors, by identity."""

    def __init__(self) -> None:
        self._book: dict[int, tuple[weakref.ref[Any], Labels]] = {}

    def __len__(self) -> int:
        return len(self._book)

    def put(self, thing: Any, labels: Labels) -> None:
        """Label ``thing``; the entry goes when the thing goes."""
        key = id(thing)

        def forget(_: Any) -> None:
            self._book.pop(key, None)

        self._book[key] = (weakref.ref(thing, forget), labels)

    def get(self, thing: Any) -> Labels | None:
        """The labels of ``thing``."""
        entry = self._book.get(id(thing))
        if entry is None or entry[0]() is not thing:
            return None
        return entry[1]

    def first(self, args: tuple[Any, ...]) -> tuple[Any, Labels] | None:
        """The first labelled argument, looking one level into lists and tuples."""
        book = self._book
        for arg in args:
            if id(arg) in book and (labels := self.get(arg)) is not None:
                return arg, labels
        return None


def _as_tensor(labels: Labels) -> torch.Tensor:
    return torch.from_numpy(labels)


def moved(func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any], labels: Labels) -> Labels:
    """Labels after a function that only rearranges elements."""
    done = func(_as_tensor(labels), *args[1:], **kwargs)
    return np.asarray(done.numpy(), dtype=np.int64)


def joined(
    func: Callable[..., Any], book: LabelBook, parts: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Labels:
    """Labels after ``cat`` or ``stack``; unlabelled parts get -1."""
    pieces = []
    for part in parts:
        labels = book.get(part)
        pieces.append(_as_tensor(np.full(tuple(part.shape), -1, np.int64) if labels is None else labels))
    return np.asarray(func(pieces, *args, **kwargs).numpy(), dtype=np.int64)


class Tracked(np.ndarray[Any, Any]):
    """A numpy array whose elements carry labels; ``labels`` has its shape."""

    labels: Labels | None
    reduced: Callable[[str, Any, Labels, Any], None] | None
    picked: Callable[[Any, Any, Any], Labels] | None
    """For rows over the vocabulary (no labels yet): begins scores when entries are picked by token."""

    def __array_finalize__(self, obj: Any) -> None:
        labels = getattr(obj, "labels", None)
        self.reduced = getattr(obj, "reduced", None)
        self.picked = getattr(obj, "picked", None)
        self.labels = labels if labels is not None and labels.shape == self.shape else None

    def __getitem__(self, index: Any) -> Any:
        out = super().__getitem__(index)
        if self.labels is None:
            return self._pick(index, out)
        labels = self.labels[_plain(index)]
        if isinstance(out, Tracked):
            out.labels = labels
        elif np.ndim(out) == 0:
            return self._single(out, int(labels))
        return out

    def _single(self, value: Any, label: int) -> Any:
        """One element as a number that keeps its label."""
        recorder = getattr(self.reduced, "__self__", None)
        if label < 0 or recorder is None:
            return value
        return Number(float(value), label, recorder._term)

    def _pick(self, index: Any, out: Any) -> Any:
        """Entries by token out of rows over the vocabulary."""
        last = index if self.ndim == 1 else None
        if isinstance(index, tuple):
            last = index[-1] if len(index) == self.ndim else None
        if self.picked is None or isinstance(last, bool | slice | type(None)) or last is Ellipsis:
            return out
        last = np.asarray(_plain(last))
        if last.dtype.kind not in "iu" or last.shape != np.shape(out):
            return out
        rows = np.asarray(self)[_plain(index)[:-1]] if isinstance(index, tuple) else np.asarray(self)
        rows = np.broadcast_to(rows, (*np.shape(np.atleast_1d(last)), rows.shape[-1]))
        labels = self.picked(np.atleast_1d(last), np.atleast_1d(np.asarray(out)), rows)
        if last.ndim:
            return tracked(out, labels.reshape(last.shape), self.reduced, self.picked)
        term = getattr(self.picked, "__self__", None)
        return Number(float(out), int(labels[0]), term._term) if term is not None else out

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        if self.labels is not None:
            given = value.label if type(value) is Number else getattr(value, "labels", None)
            if given is not None:  # else another value for the same scores
                self.labels[_plain(index)] = given

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = tuple(_plain(i) for i in inputs)
        outs = kwargs.get("out")
        if outs:
            kwargs["out"] = tuple(_plain(o) for o in outs)
        result = getattr(ufunc, method)(*plain, **kwargs)
        if method == "reduce" and self.labels is not None and self.reduced is not None and ufunc is np.add:
            self.reduced("sum", np.asarray(self), self.labels, result)
            return result
        if outs:
            return outs[0]
        return self._like(result, inputs)

    def _like(self, result: Any, inputs: tuple[Any, ...]) -> Any:
        if not isinstance(result, np.ndarray):
            return result
        rows = False
        for given in inputs:
            labels = getattr(given, "labels", None)
            if labels is not None and result.shape == labels.shape:
                return tracked(result, labels, self.reduced, self.picked)
            rows |= isinstance(given, Tracked) and labels is None and given.shape[-1:] == result.shape[-1:]
        return tracked(result, None, self.reduced, self.picked) if rows and result.dtype.kind == "f" else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = func(*_plain(args), **_plain(kwargs))
        if func is np.take_along_axis and self.labels is None and self.picked is not None and args[0] is self:
            index = np.asarray(_plain(args[1]))
            if index.shape == result.shape and index.shape[-1] == 1:
                labels = self.picked(index, result, np.asarray(self)).reshape(index.shape)
                return tracked(result, labels, self.reduced, self.picked)
        if func in (np.sum, np.mean) and self.labels is not None and self.reduced is not None:
            self.reduced("sum" if func is np.sum else "mean", np.asarray(self), self.labels, result)
            return result
        return self._like(result, tuple(args))

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        """Sum, reported to the recorder."""
        return self._report("sum", args, kwargs)

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        """Mean, reported to the recorder."""
        return self._report("mean", args, kwargs)

    def _report(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = getattr(np.asarray(self), name)(*args, **kwargs)
        if self.labels is not None and self.reduced is not None:
            self.reduced(name, np.asarray(self), self.labels, result)
        return result

    def tolist(self) -> Any:
        """The elements as Python numbers, reported one by one."""
        if self.labels is not None and self.reduced is not None:
            self.reduced("item", np.asarray(self), self.labels, None)
            owner = getattr(self.reduced, "__self__", None)
            if owner is not None:
                return numbered(np.asarray(self).tolist(), self.labels.tolist(), owner._term)
        return np.asarray(self).tolist()


def _plain(value: Any) -> Any:
    if isinstance(value, Tracked):
        return value.view(np.ndarray)
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def tracked(
    array: Any,
    labels: Labels | None,
    reduced: Callable[[str, Any, Labels, Any], None] | None,
    picked: Callable[[Any, Any, Any], Labels] | None = None,
) -> Any:
    """``array`` as a `Tracked` view with ``labels``; None: rows over the vocabulary, see `Tracked.picked`."""
    out = np.asarray(array).view(Tracked)
    out.labels = labels
    out.reduced = reduced
    out.picked = picked
    return out
