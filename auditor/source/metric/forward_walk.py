"""Statements of a forward pass: branches are decided by the settings in force or joined, loops are walked twice."""

from __future__ import annotations

import ast
from dataclasses import replace

from auditor.source.metric.axes import UNKNOWN, Module, Parts, Plain, Size, Sizes, Tensor, Value, combine, join
from auditor.source.metric.forward_calls import Calls
from auditor.source.metric.forward_core import Exit, Scope


class Forward(Calls):
    """The whole walker."""

    def block(self, body: list[ast.stmt], scope: Scope) -> None:
        """Walk statements in their order."""
        for statement in body:
            self.tick()
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        match node:
            case ast.Assign():
                value = self.value_of(node.value, scope)
                for target in node.targets:
                    self.store(target, value, scope)
            case ast.AnnAssign(value=ast.expr()):
                self.store(node.target, self.value_of(node.value, scope), scope)
            case ast.AugAssign():
                parts = [self.value_of(node.target, scope), self.value_of(node.value, scope)]
                self.store(node.target, self.spread(parts, node, scope), scope)
            case ast.Return():
                value = self.value_of(node.value, scope) if node.value else Plain(None)
                raise Exit(value)
            case ast.If():
                self._if(node, scope)
            case ast.For():
                self._for(node, scope)
            case ast.With():
                self.block(node.body, scope)
            case ast.Try():
                self.block(node.body, scope)
            case ast.While():
                self.block(node.body, scope)
            case ast.Expr():
                self.value_of(node.value, scope)
            case _:
                pass

    def _if(self, node: ast.If, scope: Scope) -> None:
        test = self._test(node.test, scope)
        if test is not None:
            self.block(node.body if test else node.orelse, scope)
            return
        outcomes: list[dict[str, Value] | None] = []
        exits: list[Value] = []
        for branch in (node.body, node.orelse):
            trial = Scope(scope.function, dict(scope.names), scope.owner, scope.returned, scope.unsure + 1)
            try:
                self.block(branch, trial)
                outcomes.append(trial.names)
            except Exit as signal:
                exits.append(signal.value)
                outcomes.append(None)
        alive = [o for o in outcomes if o is not None]
        scope.returned += exits if alive else exits[:-1]
        if not alive:
            raise Exit(exits[-1])
        first = alive[0]
        if len(alive) == 2:
            first = {k: join(v, alive[1][k]) if k in alive[1] else v for k, v in first.items()} | {
                k: v for k, v in alive[1].items() if k not in first
            }
        scope.names.update(first)

    def _for(self, node: ast.For, scope: Scope) -> None:
        source = self.value_of(node.iter, scope)
        item: Value = UNKNOWN
        if isinstance(source, Module):
            item = source
        elif isinstance(source, Parts) and source.items:
            item = source.items[0]
        for _ in range(2):
            self.store(node.target, item, scope)
            before = dict(scope.names)
            self.block(node.body, scope)
            if before == scope.names:
                break

    def store(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind ``target`` to ``value``."""
        match target:
            case ast.Name():
                scope.names[target.id] = value
            case ast.Tuple() | ast.List():
                self._unpack(target.elts, value, scope)
            case ast.Subscript():
                self._write(target, value, scope)
            case _:
                pass

    def _unpack(self, targets: list[ast.expr], value: Value, scope: Scope) -> None:
        items: list[Value] = [UNKNOWN] * len(targets)
        if isinstance(value, Sizes) and value.dims is not None and len(value.dims) == len(targets):
            items = [Size(d) for d in value.dims]
        elif isinstance(value, Parts) and len(value.items) == len(targets):
            items = list(value.items)
        elif isinstance(value, Tensor):
            items = [replace(value, is_input=False)] * len(targets)
        for target, item in zip(targets, items, strict=True):
            self.store(target, item, scope)

    def _write(self, target: ast.Subscript, value: Value, scope: Scope) -> None:
        """``out[:, a:] = value``: the slots move back by ``a``."""
        if not isinstance(target.value, ast.Name):
            return
        old = scope.names.get(target.value.id, UNKNOWN)
        if isinstance(value, Tensor):
            moved = value
            start = self._sequence_start(target.slice, old, value, scope)
            if start is None:
                moved = replace(value, shift=None)
            elif value.shift is not None and start:
                shift = value.shift - start
                moved = replace(value, shift=shift, ahead=value.ahead if shift > 0 else None)
            dims = old.dims if isinstance(old, Tensor) else moved.dims
            base = [old] if isinstance(old, Tensor) and not old.is_input else []
            new = combine([*base, moved], self.step_at(target, "written into slots"))
            scope.names[target.value.id] = new.with_dims(dims or new.dims) if isinstance(new, Tensor) else new
        elif isinstance(old, Tensor) and old.masked is False and old.axis(-1) == "K":
            scope.names[target.value.id] = replace(old, masked=True)

    def _sequence_start(self, index: ast.expr, old: Value, value: Tensor, scope: Scope) -> int | None:
        parts = list(index.elts) if isinstance(index, ast.Tuple) else [index]
        slices = [p for p in parts if isinstance(p, ast.Slice)]
        starts = [self.value_of(p.lower, scope) if p.lower else Plain(0) for p in slices]
        numbers = [s.value for s in starts if isinstance(s, Plain)]
        if len(numbers) != len(starts) or not all(isinstance(n, int) for n in numbers):
            return None
        positive = [n for n in numbers if isinstance(n, int) and n > 0]
        return positive[0] if positive else 0 if slices else None
