"""Expressions of a forward pass: what each knows of the sequence axis."""

from __future__ import annotations

import ast
from dataclasses import replace

from auditor.source.metric import tensor_ops as ops
from auditor.source.metric.axes import (
    ONE,
    UNKNOWN,
    B,
    D,
    Module,
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
    join,
)
from auditor.source.metric.forward_core import ForwardCore, Scope


class Expressions(ForwardCore):
    """Adds `value_of`."""

    def value_of(self, node: ast.expr | None, scope: Scope) -> Value:
        """What ``node`` is."""
        self.tick()
        match node:
            case None:
                return Plain(None)
            case ast.Constant():
                return Plain(node.value)
            case ast.Name():
                return self._name(node, scope)
            case ast.Attribute():
                return self._attribute(node, scope)
            case ast.Tuple() | ast.List():
                return Parts(tuple(self.value_of(e, scope) for e in node.elts))
            case ast.Subscript():
                return self._subscript(node, scope)
            case ast.BinOp():
                return self._binop(node, scope)
            case ast.UnaryOp():
                inner = self.value_of(node.operand, scope)
                if isinstance(node.op, ast.USub) and isinstance(inner, Plain) and isinstance(inner.value, int):
                    return Plain(-inner.value)
                return inner if isinstance(inner, Tensor) else UNKNOWN
            case ast.Compare():
                return self.spread([self.value_of(v, scope) for v in [node.left, *node.comparators]], node, scope)
            case ast.IfExp():
                test = self._test(node.test, scope)
                if test is not None:
                    return self.value_of(node.body if test else node.orelse, scope)
                return join(self.value_of(node.body, scope), self.value_of(node.orelse, scope))
            case ast.BoolOp():
                return self.spread([self.value_of(v, scope) for v in node.values], node, scope)
            case ast.Call():
                return self.call(node, scope)
            case ast.Starred():
                return self.value_of(node.value, scope)
            case ast.ListComp() | ast.GeneratorExp():
                return self._comprehension(node, scope)
            case _:
                return UNKNOWN

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp, scope: Scope) -> Value:
        inner = Scope(scope.function, dict(scope.names), scope.owner, scope.returned, scope.unsure)
        for generator in node.generators:
            source = self.value_of(generator.iter, scope)
            item = source.items[0] if isinstance(source, Parts) and source.items else source
            self.store(generator.target, item if isinstance(item, Module | Tensor) else UNKNOWN, inner)
        return Parts((self.value_of(node.elt, inner),))

    def _name(self, node: ast.Name, scope: Scope) -> Value:
        if node.id in scope.names:
            return scope.names[node.id]
        worth = self._settings.worth(node, scope.function)
        return (
            Plain(worth.value) if worth.known and isinstance(worth.value, bool | int | float | str | None) else UNKNOWN
        )

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Value:
        if node.attr == "training":
            return Plain(False)
        base = self.value_of(node.value, scope)
        if isinstance(base, Tensor):
            if node.attr == "shape":
                return Sizes(base.dims)
            if node.attr in {"mT", "T"}:
                return base.with_dims(ops.moved(base.dims, -1, -2))
            return base if node.attr in {"data", "real", "grad"} else UNKNOWN
        if isinstance(base, Module):
            module = self.module(base.name, node.attr)
            if module is not None:
                return module
        worth = self._settings.worth(node, scope.function)
        return (
            Plain(worth.value) if worth.known and isinstance(worth.value, bool | int | float | str | None) else UNKNOWN
        )

    def _test(self, node: ast.expr, scope: Scope) -> bool | None:
        """Decide a condition: constants, ``is None``, settings; None when it cannot be told."""
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot):
            left = self.value_of(node.left, scope)
            right = node.comparators[0]
            if isinstance(right, ast.Constant) and right.value is None and not is_unknown(left):
                absent = isinstance(left, Plain) and left.value is None
                return absent if isinstance(node.ops[0], ast.Is) else not absent
            return None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._test(node.operand, scope)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            parts = [self._test(part, scope) for part in node.values]
            stop = isinstance(node.op, ast.Or)
            if any(part is stop for part in parts):
                return stop
            return None if None in parts else not stop
        if isinstance(node, ast.Name | ast.Attribute | ast.Constant):
            value = self.value_of(node, scope)
            if isinstance(value, Plain) and not is_unknown(value):
                return bool(value.value)
            return None
        worth = self._settings.worth(node, scope.function)
        return bool(worth.value) if worth.known else None

    def _binop(self, node: ast.BinOp, scope: Scope) -> Value:
        left, right = self.value_of(node.left, scope), self.value_of(node.right, scope)
        if isinstance(left, Plain) and isinstance(right, Plain):
            return _arithmetic(node.op, left, right)
        if isinstance(left, Size | Plain) and isinstance(right, Size | Plain):
            one = isinstance(node.op, ast.Mult) and {getattr(left, "axis", ""), getattr(right, "axis", "")} == {B, T}
            return (
                Size("BT")
                if one
                else Size("T'")
                if "T" in (getattr(left, "axis", ""), getattr(right, "axis", ""))
                else Size(D)
            )
        if isinstance(left, Parts) and isinstance(right, Parts) and isinstance(node.op, ast.Add):
            return Parts(left.items + right.items)
        if isinstance(node.op, ast.MatMult):
            return ops.matmul(
                left, right, self.step_at(node, "attention over the whole sequence without a causal mask")
            )
        value = self.spread([left, right], node, scope)
        if isinstance(value, Tensor) and value.axis(-1) == "K" and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            other = right if isinstance(left, Tensor) else left
            plain_number = isinstance(other, Plain) and not is_unknown(other)
            if isinstance(node.op, ast.Add | ast.Sub) and not plain_number:
                value = replace(value, masked=True)
            elif isinstance(node.op, ast.Mult) and not plain_number and isinstance(node.right, ast.Name | ast.Call):
                value = replace(value, masked=value.masked or _looks_masked(node))
        return value

    def spread(self, values: list[Value], node: ast.AST, scope: Scope) -> Value:
        """An element-wise operation on ``values``."""
        step = self.step_at(node, "spread over all positions, earlier ones included", scope)
        return combine(values, step)

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Value:
        base = self.value_of(node.value, scope)
        if isinstance(base, Module):
            return base
        if isinstance(base, Sizes):
            at = self.value_of(node.slice, scope)
            if base.dims is not None and isinstance(at, Plain) and isinstance(at.value, int):
                return Size(base.dims[at.value]) if -len(base.dims) <= at.value < len(base.dims) else UNKNOWN
            if base.dims is not None and isinstance(node.slice, ast.Slice):
                bounds = [self.value_of(p, scope) for p in (node.slice.lower, node.slice.upper)]
                ints = [b.value if isinstance(b, Plain) and isinstance(b.value, int) else None for b in bounds]
                return Parts(tuple(Size(d) for d in base.dims[slice(*ints)]))
            return UNKNOWN
        if isinstance(base, Parts):
            at = self.value_of(node.slice, scope)
            if isinstance(at, Plain) and isinstance(at.value, int) and -len(base.items) <= at.value < len(base.items):
                return base.items[at.value]
            return join_all(base.items)
        if isinstance(base, Tensor):
            return self._index_tensor(base, node, scope)
        inside = self.value_of(node.slice, scope) if not isinstance(node.slice, ast.Slice | ast.Tuple) else UNKNOWN
        if isinstance(inside, Tensor):  # a weight table looked up by something that depends on the tokens
            self._embedded = self._embedded or inside.is_input
            return replace(inside, dims=(*inside.dims, D) if inside.dims is not None else None, is_input=False)
        return UNKNOWN

    def _index_tensor(self, base: Tensor, node: ast.Subscript, scope: Scope) -> Value:
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if base.dims is None:
            return replace(base, is_input=False, shift=None if len(parts) > 1 else base.shift)
        axes = [p for p in parts if not (isinstance(p, ast.Constant) and p.value in (None, ...))]
        ellipsis = next((i for i, p in enumerate(parts) if isinstance(p, ast.Constant) and p.value is ...), None)
        value, axis, dims = base, 0, list(base.dims)
        drop: list[int] = []
        for i, part in enumerate(parts):
            if ellipsis == i:
                axis = len(dims) - len(
                    [p for p in parts[i + 1 :] if not (isinstance(p, ast.Constant) and p.value is None)]
                )
                continue
            if isinstance(part, ast.Constant) and part.value is None:
                return (
                    replace(value, dims=_with_none(base.dims, parts), is_input=False)
                    if len(axes) == len([p for p in axes if isinstance(p, ast.Slice) and not p.lower and not p.upper])
                    else replace(value, dims=None)
                )
            if axis >= len(dims):
                return replace(value, dims=None)
            if isinstance(part, ast.Slice):
                if part.step is not None:
                    return replace(value, dims=None, shift=None)
                low = self.value_of(part.lower, scope) if part.lower else Plain(0)
                value = ops.sliced(
                    value, axis, low, UNKNOWN, self.step_at(part, "each slot takes a later position's value", scope)
                )
                if value.dims is None:
                    return value
                if isinstance(part.upper, ast.Constant) and part.upper.value == 1 and value.axis(axis) == T:
                    value = value.with_dims(tuple(ONE if j == axis else d for j, d in enumerate(value.dims)))
            else:
                at = self.value_of(part, scope)
                if isinstance(at, Tensor):
                    return replace(value, dims=None, shift=None)
                if value.axis(axis) == T and isinstance(at, Plain) and at.value == -1:
                    note = self.step_at(part, "the last position is taken out", scope)
                    value = replace(value, pooled=value.pooled or Trail((note,)), shift=0, ahead=None)
                drop.append(axis)
            axis += 1
        kept = value.dims or ()
        return replace(
            value, dims=tuple(d for j, d in enumerate(kept) if j not in drop), is_input=value.is_input and not drop
        )


def join_all(values: tuple[Value, ...]) -> Value:
    """`join` over several."""
    out: Value = values[0] if values else UNKNOWN
    for value in values[1:]:
        out = join(out, value)
    return out


def _arithmetic(op: ast.operator, left: Plain, right: Plain) -> Value:
    a, b = left.value, right.value
    if not isinstance(a, int) or not isinstance(b, int) or abs(a) > 1 << 32 or abs(b) > 1 << 32:
        return UNKNOWN
    match op:
        case ast.Add():
            return Plain(a + b)
        case ast.Sub():
            return Plain(a - b)
        case ast.Mult():
            return Plain(a * b)
        case ast.FloorDiv():
            return Plain(a // b) if b else UNKNOWN
        case _:
            return UNKNOWN


def _looks_masked(node: ast.BinOp) -> bool:
    return "mask" in ast.unparse(node).lower() or "tri" in ast.unparse(node).lower()


def _with_none(dims: tuple[str, ...], parts: list[ast.expr]) -> tuple[str, ...]:
    out: list[str] = []
    rest = list(dims)
    for i, part in enumerate(parts):
        if isinstance(part, ast.Constant) and part.value is None:
            out.append(ONE)
        elif isinstance(part, ast.Constant) and part.value is ...:
            after = len([p for p in parts[i + 1 :] if not (isinstance(p, ast.Constant) and p.value is None)])
            count = len(rest) - after
            out += rest[:count]
            rest = rest[count:]
        elif rest:
            out.append(rest.pop(0))
    return tuple(out + rest)
