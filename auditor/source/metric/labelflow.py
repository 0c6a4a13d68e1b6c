"""A cheap, flow-insensitive label propagation over all modules of a submission.

Some questions need no order of execution, only "can this value be that table?". Labels start at seeds (a name in a
function, a returned position, an attribute) and spread through assignments, tuple unpacking, attributes (by name),
calls of known functions (arguments to parameters, returns to results) and array methods that keep a value what it is.
Indexing a labelled value gives the label with ``indexed`` set: a per-token number instead of the table.

Cost: statements are read once; only those that mention a name which ever carried a label are looked at again.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from auditor.source.metric.codeindex import Function, Index, Step

_LOOKUPS = frozenset({"index_select", "gather", "take", "embedding", "take_along_dim", "take_along_axis"})
_MAX_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Label:
    """What a value is: its role, which seed it came from, and whether it was indexed."""

    role: str
    seed: int
    indexed: bool = False


Labels = frozenset[Label]
NONE: Labels = frozenset()




Key = tuple[object, str, int]
"""(function, name, position): position -1 is the value itself, others the parts of a tuple."""


class LabelFlow:
    """Seeds, propagation, questions."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._labels: dict[Key, Labels] = {}
        self._hot: set[str] = set()
        self._changed = False

    def seed(self, function: Function, name: str, label: Label) -> None:
        """Say that ``name`` in ``function`` (an attribute when it starts with a dot) holds ``label``."""
        key: Key = ("attr", name[1:], -1) if name.startswith(".") else (function, name, -1)
        self._add(key, frozenset({label}))

    def seed_return(self, function: Function, position: int, label: Label) -> None:
        """Say that ``function`` returns ``label`` (as part ``position`` of a tuple, -1: as its whole value)."""
        self._add((function, "return", position), frozenset({label}))
        self._hot.add(function.name)

    def propagate(self) -> None:
        """Spread labels until nothing changes (bounded)."""
        if self.index.steps is None:
            self.index.steps = [step for function in self.index.functions for step in _steps(function)]
        for _ in range(_MAX_ROUNDS):
            self._changed = False
            for step in self.index.steps:
                if not self._hot.isdisjoint(step.words):
                    self._apply(step)
            if not self._changed:
                return

    def mentions(self, node: ast.AST) -> bool:
        """Whether ``node`` itself names something that carries a label."""
        word = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        return word in self._hot

    def labels(self, node: ast.expr | None, function: Function) -> Labels:
        """The labels that the value of ``node`` may carry."""
        match node:
            case None | ast.Constant():
                return NONE
            case ast.Name():
                return self._name(function, node.id, -1)
            case ast.Attribute():
                return self._labels.get(("attr", node.attr, -1), NONE)
            case ast.Subscript():
                return self._subscript(node, function)
            case ast.Call():
                return self._call(node, function)
            case ast.Lambda() | ast.JoinedStr():
                return NONE
            case _:
                found = NONE
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        found |= self.labels(child, function)
                    elif isinstance(child, ast.comprehension):
                        found |= self.labels(child.iter, function)
                return found

    def part(self, node: ast.expr, position: int, function: Function) -> Labels:
        """The labels of part ``position`` of the tuple that ``node`` evaluates to."""
        if isinstance(node, ast.Tuple | ast.List):
            return self.labels(node.elts[position], function) if position < len(node.elts) else NONE
        if isinstance(node, ast.Name):
            return self._name(function, node.id, position)
        if isinstance(node, ast.Attribute):
            return self._labels.get(("attr", node.attr, position), NONE)
        found = NONE
        if isinstance(node, ast.Call):
            for callee in self.index.resolve(node.func):
                found |= self._labels.get((callee, "return", position), NONE)
        return found

    def _name(self, function: Function, name: str, position: int) -> Labels:
        scope: Function | None = function
        while scope is not None:
            found = self._labels.get((scope, name, position))
            if found is not None:
                return found
            if name in scope.params:
                return NONE
            scope = scope.parent
        return NONE

    def _subscript(self, node: ast.Subscript, function: Function) -> Labels:
        index = node.slice
        if isinstance(index, ast.Constant) and isinstance(index.value, int):
            found = self.part(node.value, index.value, function)
            if found:
                return found
        base = self.labels(node.value, function)
        if isinstance(index, ast.Slice) or (isinstance(index, ast.Constant) and isinstance(index.value, str)):
            return base
        return frozenset(Label(label.role, label.seed, True) for label in base)

    def _call(self, node: ast.Call, function: Function) -> Labels:
        callees = self.index.resolve(node.func)
        if callees:
            found = NONE
            for callee in callees:
                found |= self._labels.get((callee, "return", -1), NONE)
            return found
        found = self.labels(node.func.value, function) if isinstance(node.func, ast.Attribute) else NONE
        for arg in node.args:
            found |= self.labels(arg.value if isinstance(arg, ast.Starred) else arg, function)
        for keyword in node.keywords:
            found |= self.labels(keyword.value, function)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKUPS:
            return frozenset(Label(label.role, label.seed, True) for label in found)
        return found

    def _apply(self, step: Step) -> None:
        for call in step.calls:
            self._bind(call, step.function)
        if step.returns:
            self._store_return(step)
        elif step.target is not None:
            self._store(step.target, step.value, step.function)

    def _store_return(self, step: Step) -> None:
        if isinstance(step.value, ast.Tuple):
            for position, part in enumerate(step.value.elts):
                self._add((step.function, "return", position), self.labels(part, step.function), step.function.name)
        else:
            self._add((step.function, "return", -1), self.labels(step.value, step.function), step.function.name)
            for position in range(8):
                found = self.part(step.value, position, step.function)
                self._add((step.function, "return", position), found, step.function.name)

    def _store(self, target: ast.expr, value: ast.expr, function: Function) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for position, element in enumerate(target.elts):
                self._add_target(element, self.part(value, position, function), function)
            return
        self._add_target(target, self.labels(value, function), function)
        if isinstance(target, ast.Name | ast.Attribute) and isinstance(
            value, ast.Tuple | ast.List | ast.Name | ast.Call
        ):
            for position in range(8):
                found = self.part(value, position, function)
                if found:
                    name = target.id if isinstance(target, ast.Name) else target.attr
                    self._add((function if isinstance(target, ast.Name) else "attr", name, position), found)

    def _add_target(self, target: ast.expr, found: Labels, function: Function) -> None:
        if isinstance(target, ast.Name):
            self._add((function, target.id, -1), found)
        elif isinstance(target, ast.Attribute):
            self._add(("attr", target.attr, -1), found)
        elif isinstance(target, ast.Subscript):
            whole = frozenset(label for label in found if not label.indexed)
            self._add_target(target.value, whole, function)
        elif isinstance(target, ast.Starred):
            self._add_target(target.value, found, function)

    def _bind(self, call: ast.Call, function: Function) -> None:
        for callee in self.index.resolve(call.func):
            params = callee.params
            if callee.class_name and isinstance(call.func, ast.Attribute) and params[:1] == ["self"]:
                params = params[1:]
            for param, arg in zip(params, call.args, strict=False):
                if isinstance(arg, ast.Starred):
                    self._bind_starred(callee, params, call.args.index(arg), arg, function)
                    break
                self._bind_one(callee, param, arg, function)
            for keyword in call.keywords:
                if keyword.arg:
                    self._bind_one(callee, keyword.arg, keyword.value, function)
        constructed = call.func.id if isinstance(call.func, ast.Name) else ""
        if constructed in self.index.classes:
            for keyword in call.keywords:
                if keyword.arg:
                    self._add(("attr", keyword.arg, -1), self.labels(keyword.value, function))
            for init in self.index.by_name.get("__init__", []):
                if init.class_name == constructed:
                    for param, arg in zip(init.params[1:], call.args, strict=False):
                        self._add((init, param, -1), self.labels(arg, function))
                    for keyword in call.keywords:
                        if keyword.arg:
                            self._add((init, keyword.arg, -1), self.labels(keyword.value, function))

    def _bind_one(self, callee: Function, param: str, arg: ast.expr, function: Function) -> None:
        """An argument and, where it is a tuple by name, its parts."""
        self._add((callee, param, -1), self.labels(arg, function))
        if isinstance(arg, ast.Name | ast.Attribute | ast.Tuple | ast.Call):
            for position in range(8):
                self._add((callee, param, position), self.part(arg, position, function))

    def _bind_starred(self, callee: Function, params: list[str], at: int, arg: ast.Starred, function: Function) -> None:
        for offset, param in enumerate(params[at : at + 8]):
            self._add((callee, param, -1), self.part(arg.value, offset, function))

    def _add(self, key: Key, found: Labels, word: str | None = None) -> None:
        if not found:
            return
        old = self._labels.get(key, NONE)
        if not found <= old:
            self._labels[key] = old | found
            self._hot.add(word or key[1])
            self._changed = True


def _steps(function: Function) -> Iterator[Step]:
    for node in function.nodes:
        match node:
            case ast.Assign():
                for target in node.targets:
                    yield _step(function, target, node.value)
            case ast.AnnAssign(value=ast.expr() as value):
                yield _step(function, node.target, value)
            case ast.AugAssign():
                yield _step(function, node.target, node.value)
            case ast.NamedExpr():
                yield _step(function, node.target, node.value)
            case ast.Return(value=ast.expr() as value) | ast.Yield(value=ast.expr() as value):
                yield _step(function, None, value, returns=True)
            case ast.Expr(value=ast.Call() as value):
                yield _step(function, None, value)
            case ast.For():
                yield from _loop_steps(function, node)
            case ast.If() | ast.While():
                if any(isinstance(child, ast.Call) for child in ast.walk(node.test)):
                    yield _step(function, None, node.test)
            case _:
                pass


def _loop_steps(function: Function, node: ast.For) -> Iterator[Step]:
    """``for a, b in zip(x, y)``: pair the targets with what they run over; anything else keeps its labels."""
    source = node.iter
    inner: list[ast.expr] = []
    if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id == "zip":
        inner = source.args
    if inner and isinstance(node.target, ast.Tuple) and len(inner) == len(node.target.elts):
        for target, value in zip(node.target.elts, inner, strict=True):
            yield _step(function, target, value)
    else:
        yield _step(function, node.target, source)


def _step(function: Function, target: ast.expr | None, value: ast.expr, *, returns: bool = False) -> Step:
    calls: list[ast.Call] = []
    words: set[str] = set()
    for child in ast.walk(value):
        if isinstance(child, ast.Call):
            calls.append(child)
        elif isinstance(child, ast.Name):
            words.add(child.id)
        elif isinstance(child, ast.Attribute):
            words.add(child.attr)
    return Step(function, target, _element_wise(value), returns, tuple(calls), frozenset(words))


def _element_wise(value: ast.expr) -> ast.expr:
    """``tuple(wrap(t) for t in (a, b, c))`` read as ``(a, b, c)``: what is done to each element keeps its place."""
    inner = value.args[0] if isinstance(value, ast.Call) and len(value.args) == 1 and not value.keywords else value
    if not isinstance(inner, ast.GeneratorExp | ast.ListComp) or len(inner.generators) != 1:
        return value
    source = inner.generators[0].iter
    return source if isinstance(source, ast.Tuple | ast.List) and not inner.generators[0].ifs else value
