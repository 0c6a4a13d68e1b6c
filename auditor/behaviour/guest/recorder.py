"""What the script scores, adds up, trains on and prints, as events.

A *score* is the loss of one target token. Scores begin at `F.cross_entropy` and at gathers of a target's entry out
of a row over the vocabulary; from there `labels` follows them until they are added up (`Summed`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from auditor.behaviour.guest.labels import NUMPYISH, LabelBook, Labels, Tracked, joined, moved, tracked
from auditor.behaviour.guest.numbers import MATH, keeping, numbered, terms_of
from auditor.behaviour.guest.rows import marks, nats
from auditor.behaviour.guest.training import INTS, TrainingWatch
from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.wire import OF_ARRAY

CALLERS = 12
MAX_SCORES = 40_000_000
ROOM = (1024, 1 << 15)
"""Sizes of the arrays that are watched from the start, for they may come to hold a loss for each token."""


class Recorder(TrainingWatch):
    """Watches one run. Register its handlers with `install`, and give `observe` to the mode."""

    def __init__(self, ctx: ShimContext) -> None:
        super().__init__(ctx)
        self.book = LabelBook()
        self.scores = 0
        self.vocabularies: set[int] = set()
        self.terms: tuple[list[Any], list[float], list[int]] = ([], [], [])

    def install(self) -> None:
        """Register the handlers for scoring, adding up and training."""
        table: dict[Any, Any] = self.ctx.handlers
        tensor, func = torch.Tensor, None  # type: Any, Any
        table[F.cross_entropy] = self._cross_entropy
        table[F.nll_loss] = self._nll_loss
        for func in (torch.gather, tensor.gather, torch.take_along_dim, tensor.take_along_dim):
            table[func] = self._gather
        table[tensor.__getitem__] = self._getitem
        table[tensor.__setitem__] = self._setitem
        for func in (tensor.sum, torch.sum, tensor.mean, torch.mean):
            table[func] = self._reduce
        for func in (tensor.item, tensor.tolist, tensor.__float__):
            table[func] = self._item
        table[tensor.numpy] = self._numpy
        table[tensor.backward] = self._backward
        table[torch.autograd.grad] = self._grad
        for func in (torch.cat, torch.stack):
            table[func] = self._join
        original = torch.from_numpy
        self.ctx.patch(torch, "from_numpy", lambda array: self._from_numpy(original, array))
        for name in ("tensor", "as_tensor"):
            self.ctx.patch(torch, name, self._constructor(getattr(torch, name)))
        auto = torch.autograd.backward
        self.ctx.patch(torch.autograd, "backward", lambda *a, **k: self._flow("backward", auto, a, k))
        table[F.embedding] = self._embedding
        self._follow_numbers()
        register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: self.weights.before(optimizer))
        register_optimizer_step_post_hook(self._stepped)

    def site(self) -> list[Any]:
        """``[file, line, function]`` of the innermost frame that belongs to the submission."""
        frame, base = sys._getframe(1), self.ctx.run_dir
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(base):
                return [name[len(base) :].lstrip("/"), frame.f_lineno, frame.f_code.co_name]
            frame = frame.f_back  # type: ignore[assignment]
        return ["", 0, ""]

    def callers(self) -> list[list[Any]]:
        """``[function, line]`` of the submission's frames, innermost first."""
        found: list[list[Any]] = []
        frame: Any = sys._getframe(1)
        while frame is not None and len(found) < CALLERS:
            if frame.f_code.co_filename.startswith(self.ctx.run_dir):
                found.append([frame.f_code.co_name, frame.f_lineno])
            frame = frame.f_back
        return found

    # Scores as Python numbers and rows of numpy arrays.

    def _follow_numbers(self) -> None:
        """Let labels follow `math` and the ways from lists to arrays; terms are sent before any other event."""
        emit = self.ctx.emit

        def flushed(kind: str, fields: Any) -> None:
            self._flush_terms(emit)
            emit(kind, fields)

        self.ctx.emit = flushed
        for name in MATH:
            self.ctx.patch(math, name, keeping(getattr(math, name)))
        for name in ("array", "asarray", "sum", "mean"):
            self.ctx.patch(np, name, self._from_list(name, getattr(np, name)))
        for name in ("zeros", "full", "empty", "ones"):
            self.ctx.patch(np, name, self._room(getattr(np, name)))

    def _room(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """New arrays that may come to hold a loss for each token: what is put into them keeps its labels."""

        def make(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            if made.ndim == 1 and made.dtype.kind == "f" and ROOM[0] <= made.size <= ROOM[1]:
                return tracked(made, np.full(made.size, -1, np.int64), self._summed, self._picked)
            return made

        return make

    def _from_list(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def convert(values: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(values, *args, **kwargs)
            numbers = terms_of(values)
            if numbers is None or len(numbers) != len(values):
                return result
            labels = np.fromiter((n.label for n in numbers), np.int64, len(numbers))
            if name in ("array", "asarray"):
                return tracked(result, labels, self._summed, self._picked) if result.shape == labels.shape else result
            self._summed(name, np.fromiter((float(n) for n in numbers), np.float64, len(numbers)), labels, result)
            return result

        return convert

    def _term(self, value: float, label: int) -> None:
        """One term of a sum of Python numbers; terms of one line travel together."""
        site, values, labels = self.terms
        here = self.site()
        if site != here:
            self._flush_terms(self.ctx.emit)
            self.terms = (here, [], [])
            site, values, labels = self.terms
        values.append(value)
        labels.append(label)

    def _flush_terms(self, emit: Callable[..., None]) -> None:
        site, values, labels = self.terms
        self.terms = ([], [], [])
        if values:
            fields = {"how": "term", "site": site, "total": sum(values), "grad": False}
            emit("Summed", {**fields, "labels": np.array(labels, np.int64), "values": np.array(values, np.float64)})

    def _picked(self, targets: Any, values: Any, rows: Any) -> Labels:
        """Entries picked by token out of a numpy array of rows over the vocabulary: scores begin there."""
        chosen = torch.from_numpy(np.ascontiguousarray(np.asarray(targets, np.int64)))
        return self._scored("gather", chosen, nats(rows, values), False)[1]

    # Scores.

    def _scored(
        self, kind: str, targets: torch.Tensor, losses: torch.Tensor, grad: bool, rows: Any = None
    ) -> tuple[int, Labels]:
        """Scores begin; ``rows`` [.., vocabulary] is what they are taken from, where each has one of its own."""
        first, count = self.scores, targets.numel()
        self.scores += count
        if self.scores > MAX_SCORES:
            raise RuntimeError("more scores than the recorder follows")
        self.ctx.emit(
            "Scored",
            {
                "first": first, "how": kind, "grad": grad, "site": self.site(), "shape": list(targets.shape),
                "callers": self.callers(),
                "targets": targets.detach().reshape(-1).to(torch.int32).numpy(),
                "loss": losses.detach().reshape(-1).to(torch.float32).numpy(),
                "time": self.ctx.clock.now, "weights": [] if grad else self.weights.now(),
                **({} if grad or rows is None else {"rows": marks(rows)}),
            },
        )
        labels = np.arange(first, first + count, dtype=np.int64).reshape(tuple(targets.shape))
        return first, labels

    def _cross_entropy(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        logits = args[0] if args else kwargs["input"]
        target = args[1] if len(args) > 1 else kwargs["target"]
        if target.dtype not in INTS or logits.dim() < 2:
            return result
        self.vocabularies.add(int(logits.shape[1]))
        reduction = kwargs.get("reduction", args[6] if len(args) > 6 else "mean")
        losses = counted = result
        smoothing = kwargs.get("label_smoothing", 0.0)
        if reduction != "none" or smoothing:
            each: dict[str, Any] = {"reduction": "none", "ignore_index": kwargs.get("ignore_index", -100)}
            with torch.no_grad():
                losses = counted = F.cross_entropy(logits.detach(), target, **each)
                if smoothing:
                    counted = F.cross_entropy(logits.detach(), target, label_smoothing=smoothing, **each)
        self._begin("cross_entropy", target, losses, result, reduction, counted, logits if logits.dim() == 2 else None)
        return result

    def _nll_loss(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        logp, target = args[0], args[1] if len(args) > 1 else kwargs["target"]
        reduction = kwargs.get("reduction", "mean")
        with torch.no_grad():
            losses = F.nll_loss(logp.detach(), target, reduction="none")
        self._begin("nll_loss", target, losses, result, reduction)
        return result

    def _begin(
        self, kind: str, target: Any, losses: Any, result: Any, reduction: str, counted: Any = None, rows: Any = None
    ) -> None:
        """Scores begin; ``counted`` is what a reduction adds up for each, where that is not its loss."""
        grad = bool(torch.is_tensor(result) and result.grad_fn is not None)
        first, labels = self._scored(kind, target, losses, grad, rows)
        if reduction == "none":
            self.book.put(result, labels.reshape(tuple(result.shape)))
        else:
            self._summed(reduction, losses if counted is None else counted, labels, result)
        if grad:
            self._remember(result, first, labels.size)

    def _gather(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        source = args[0] if args else kwargs["input"]
        index = kwargs.get("index", kwargs.get("indices"))
        if index is None:
            index = next((a for a in args[1:] if torch.is_tensor(a)), None)
        self._looked_up(source, index, result)
        return result

    def _looked_up(self, source: Any, index: Any, result: Any) -> None:
        """A gather out of rows over the vocabulary begins scores (negated when the entry is a log-probability)."""
        if not (torch.is_tensor(source) and torch.is_tensor(index) and source.is_floating_point()):
            return
        if index.dtype not in INTS or source.dim() < 2 or source.shape[-1] < 64 or result.shape != index.shape:
            return
        if source.shape[:-1].numel() != index.numel():
            return
        first, labels = self._scored("gather", index, nats(source, result), result.grad_fn is not None, source)
        self.book.put(result, labels)
        if result.grad_fn is not None:
            self._remember(result, first, labels.size)

    def _getitem(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        source, index = args[0], args[1]
        labels = self.book.get(source)
        if labels is not None and torch.is_tensor(result):
            self.book.put(result, moved(func, "__getitem__", (source, index), {}, labels))
        elif type(index) is tuple and len(index) >= 2 and torch.is_tensor(index[-1]) and source.dim() == len(index):
            self._looked_up(source, index[-1], result)
        elif type(index) is tuple and len(index) == source.dim() and self._is_entry(source, index):
            row = source[index[:-1]] if source.dim() > 1 else source
            labels = self._scored("gather", torch.tensor([int(index[-1])]), nats(row, result), False)[1]
            self.book.put(result, labels.reshape(tuple(result.shape)))
        return result

    def _is_entry(self, source: Any, index: tuple[Any, ...]) -> bool:
        """Whether ``source[index]`` is one token's entry in one row over the vocabulary."""
        if not source.is_floating_point() or source.shape[-1] not in self.vocabularies or source.requires_grad:
            return False
        return all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in index)

    def _setitem(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        func(*args, **kwargs)
        target, index, value = args
        given = self.book.get(value) if torch.is_tensor(value) else None
        labels = self.book.get(target)
        if given is None:  # another value for the same scores: they keep their labels
            return None
        if labels is None:
            labels = np.full(tuple(target.shape), -1, np.int64)
            self.book.put(target, labels)
        func(torch.from_numpy(labels), index, torch.from_numpy(given))
        return None

    # What becomes of them.

    def observe(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Let labels follow a call that no handler took."""
        if not len(self.book) or (func in self.ctx.handlers and func is not torch.Tensor.to):
            return
        hit = self.book.first(args)
        if hit is None or not torch.is_tensor(result) or self.book.get(result) is not None:
            return
        source, labels = hit
        name = getattr(func, "__name__", "")
        if name in NUMPYISH and args[0] is source:
            self.book.put(result, moved(func, name, args, kwargs, labels))
        elif result.shape == source.shape:
            self.book.put(result, labels)

    def _reduce(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if args and (labels := self.book.get(args[0])) is not None:
            self._summed("mean" if "mean" in func.__name__ else "sum", args[0], labels, result)
        return result

    def _summed(self, how: str, values: Any, labels: Labels, result: Any) -> None:
        if labels.max(initial=-1) < 0:
            return
        if torch.is_tensor(values):
            values = values.detach().to(torch.float64).numpy()
        else:
            how += OF_ARRAY
        total = 0.0
        if result is not None:
            total = float(result.detach().sum()) if torch.is_tensor(result) else float(np.sum(result))
        self.ctx.emit(
            "Summed",
            {
                "how": how, "site": self.site(), "total": total, "grad": torch.is_grad_enabled(),
                "labels": labels.reshape(-1), "values": np.asarray(values, np.float64).reshape(-1),
            },
        )

    def _item(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if (labels := self.book.get(args[0])) is not None:
            self._summed("item", args[0], labels, None)
            return numbered(result, labels.tolist(), self._term)
        return result

    def _numpy(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        labels = self.book.get(args[0])
        if labels is not None:
            return tracked(result, labels, self._summed, self._picked)
        if result.ndim and result.shape[-1] in self.vocabularies and result.dtype.kind == "f":
            return tracked(result, None, self._summed, self._picked)
        return result

    def _from_numpy(self, original: Callable[..., Any], array: Any) -> Any:
        result = original(np.asarray(array))
        if isinstance(array, Tracked) and array.labels is not None:
            self.book.put(result, array.labels)
        return result

    def _constructor(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def construct(data: Any, *args: Any, **kwargs: Any) -> Any:
            labels = data.labels if isinstance(data, Tracked) else None
            if (numbers := terms_of(data)) is not None and len(numbers) == len(data):
                labels = np.array([n.label for n in numbers], np.int64)
            result = original(np.asarray(data) if isinstance(data, Tracked) else data, *args, **kwargs)
            if labels is not None:
                self.book.put(result, labels)
            return result

        return construct

    def _join(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        parts = args[0] if args else kwargs.get("tensors", ())
        if len(self.book) and any(self.book.get(p) is not None for p in parts):
            self.book.put(result, joined(func, self.book, parts, args[1:], kwargs))
        return result
