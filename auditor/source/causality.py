"""Can a later token reach an earlier score inside the model?

Each class that turns token ids into logits is walked from its forward methods on, with every tensor known by its axes
(`axes`): submodules, helpers and methods are entered, conditions decided by the settings in force, branches joined. A
value whose positions learned of later ones (a mean over the sequence spread back over it, attention without a causal
mask, a shift to the left) is reported when it arrives at the loss or at the returned logits: the trail is the proof.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from auditor.core.types import Confidence, PathStep
from auditor.source import tensor_ops as ops
from auditor.source.axes import (
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
from auditor.source.labelflow import Function, FunctionNode, Index
from auditor.source.metric_facts import NonCausal, Reach
from auditor.source.settings import Settings

_MAX_STEPS = 60_000
_MAX_DEPTH = 14
_FLASH = frozenset({"flash_attn_func", "flash_attn_3_func", "flash_attn_varlen_func", "fa3_func", "flash_attn_qkvpacked_func"})
_NN_KEEP = frozenset({"Linear", "LayerNorm", "RMSNorm", "Dropout", "SiLU", "GELU", "ReLU", "Identity", "Sigmoid", "Tanh"})


class _Budget(Exception):
    pass


@dataclass
class _Exit(Exception):
    """A return; ``value`` is what was returned."""

    value: Value


@dataclass
class _Scope:
    """One call: its function, names, returns seen in undecided branches, and the class it is a method of."""

    function: Function
    names: dict[str, Value]
    owner: str | None
    returned: list[Value] = field(default_factory=list)
    unsure: int = 0


def analyse_causality(index: Index, settings: Settings) -> tuple[tuple[NonCausal, ...], tuple[str, ...]]:
    """All proven or suspected look-aheads of the models, and what could not be followed."""
    found: dict[tuple[str, int], NonCausal] = {}
    unread: list[str] = []
    walk = _Walk(index, settings)
    for name, method in _roots(index):
        try:
            for item in walk.root(name, method):
                key = (item.file, item.line)
                if key not in found or found[key].confidence is not Confidence.HIGH:
                    found[key] = item
        except (_Budget, RecursionError):
            unread.append(f"{method.file}: the forward pass of {name} is too long to be followed to its end")
    return tuple(found.values()), tuple(unread)


def _roots(index: Index) -> list[tuple[str, Function]]:
    """Classes that embed token ids, with the methods that give logits or the loss."""
    used = _constructed(index)
    roots: list[tuple[str, Function]] = []
    for function in index.functions:
        cls = function.class_name
        if cls is None or function.node is None or cls not in used or len(function.params) < 2:
            continue
        if not (function.name == "forward" or "logits" in function.name or function.name.startswith("forward_")):
            continue
        if _embeds(index, cls) and _has_head(index, cls):
            roots.append((cls, function))
    return roots[:8]


def _constructed(index: Index) -> set[str]:
    """Classes whose constructor some function outside their own class calls."""
    names: set[str] = set()
    for function in index.functions:
        for node in function.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in index.classes:
                names.add(node.func.id)
    return names


def _embeds(index: Index, cls: str) -> bool:
    body = index.classes[cls][1]
    return any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in {"Embedding", "embedding"}
        for n in ast.walk(body)
    )


def _has_head(index: Index, cls: str) -> bool:
    body = index.classes[cls][1]
    return any(
        (isinstance(n, ast.Attribute) and ("cross_entropy" in n.attr or "logit" in n.attr or n.attr in {"lm_head", "head"}))
        or (isinstance(n, ast.Name) and "logits" in n.id)
        for n in ast.walk(body)
    )


class _Walk:
    """One root's walk."""

    def __init__(self, index: Index, settings: Settings) -> None:
        self._index = index
        self._settings = settings
        self._steps = 0
        self._depth = 0
        self._modules: dict[tuple[str, str], Value] = {}
        self._built: dict[str, dict[str, list[Module]]] = {}
        self._losses: list[tuple[Tensor, PathStep]] = []
        self._root = ""

    def root(self, cls: str, method: Function) -> list[NonCausal]:
        """Walk ``method`` of ``cls`` with token ids as its first argument."""
        self._root = f"{cls}.{method.name}"
        self._steps, self._depth, self._losses = 0, 0, []
        names: dict[str, Value] = {"self": Module(cls)}
        names |= dict.fromkeys(method.params[1:], UNKNOWN)
        names[method.params[1]] = Tensor((B, T), is_input=True)
        value = self._enter(method, names, cls)
        ends = list(self._losses)
        place = PathStep(method.file, method.node.lineno if method.node else 1, f"{self._root} returns it as its result")
        for part in value.items if isinstance(value, Parts) else (value,):
            if isinstance(part, Tensor):
                ends.append((part, place))
        return [item for tensor, end in ends for item in self._judge(tensor, end, method)]

    def _judge(self, tensor: Tensor, end: PathStep, method: Function) -> list[NonCausal]:
        trail = tensor.mixed
        if trail is None and tensor.shift is not None and tensor.shift > 0 and tensor.has_sequence:
            trail = tensor.ahead
        if trail is None:
            return []
        first = trail.steps[0]
        sure = trail.sure and tensor.dims is not None
        return [NonCausal(
            first.file, first.line, first.line, 0, self._root, first.note, Confidence.HIGH if sure else Confidence.MEDIUM,
            (*trail.steps, end), Reach.USED if sure else Reach.UNKNOWN,
        )]

    # -- calls into the submission's own code

    def _enter(self, function: Function, names: dict[str, Value], owner: str | None) -> Value:
        if self._depth >= _MAX_DEPTH or function.node is None:
            return _forget(list(names.values()))
        scope = _Scope(function, names, owner)
        self._depth += 1
        try:
            self._block(function.body, scope)
            value: Value = Plain(None)
        except _Exit as signal:
            value = signal.value
        finally:
            self._depth -= 1
        for other in scope.returned:
            value = other if isinstance(value, Plain) and value.value is None else join(value, other)
        return value

    def _bind(self, function: Function, args: list[Value], named: dict[str, Value], me: Value | None) -> dict[str, Value]:
        names: dict[str, Value] = {}
        params = list(function.params)
        if me is not None and params:
            names[params.pop(0)] = me
        for param, value in zip(params, args, strict=False):
            names[param] = value
        assert function.node is not None
        spec = function.node.args
        positional = [*spec.posonlyargs, *spec.args]
        for arg, default in zip(reversed(positional), reversed(spec.defaults), strict=False):
            if arg.arg not in names and isinstance(default, ast.Constant):
                names[arg.arg] = Plain(default.value)
        for arg, kw_default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
            if isinstance(kw_default, ast.Constant):
                names[arg.arg] = Plain(kw_default.value)
        return names | named

    # -- statements

    def _block(self, body: list[ast.stmt], scope: _Scope) -> None:
        for statement in body:
            self._tick()
            self._statement(statement, scope)

    def _statement(self, node: ast.stmt, scope: _Scope) -> None:
        match node:
            case ast.Assign():
                value = self._value(node.value, scope)
                for target in node.targets:
                    self._store(target, value, scope)
            case ast.AnnAssign(value=ast.expr()):
                self._store(node.target, self._value(node.value, scope), scope)
            case ast.AugAssign():
                parts = [self._value(node.target, scope), self._value(node.value, scope)]
                self._store(node.target, self._spread(parts, node, scope), scope)
            case ast.Return():
                value = self._value(node.value, scope) if node.value else Plain(None)
                raise _Exit(value)
            case ast.If():
                self._if(node, scope)
            case ast.For():
                self._for(node, scope)
            case ast.With():
                self._block(node.body, scope)
            case ast.Try():
                self._block(node.body, scope)
            case ast.While():
                self._block(node.body, scope)
            case ast.Expr():
                self._value(node.value, scope)
            case _:
                pass

    def _if(self, node: ast.If, scope: _Scope) -> None:
        test = self._test(node.test, scope)
        if test is not None:
            self._block(node.body if test else node.orelse, scope)
            return
        outcomes: list[dict[str, Value] | None] = []
        exits: list[Value] = []
        for branch in (node.body, node.orelse):
            trial = _Scope(scope.function, dict(scope.names), scope.owner, scope.returned, scope.unsure + 1)
            try:
                self._block(branch, trial)
                outcomes.append(trial.names)
            except _Exit as signal:
                exits.append(signal.value)
                outcomes.append(None)
        alive = [o for o in outcomes if o is not None]
        scope.returned += exits if alive else exits[:-1]
        if not alive:
            raise _Exit(exits[-1])
        first = alive[0]
        if len(alive) == 2:
            first = {k: join(v, alive[1][k]) if k in alive[1] else v for k, v in first.items()} | {
                k: v for k, v in alive[1].items() if k not in first}
        scope.names.update(first)

    def _for(self, node: ast.For, scope: _Scope) -> None:
        source = self._value(node.iter, scope)
        item = UNKNOWN
        if isinstance(source, Module):
            item = source
        elif isinstance(source, Parts) and source.items:
            item = source.items[0]
        for _ in range(2):
            self._store(node.target, item, scope)
            before = dict(scope.names)
            self._block(node.body, scope)
            if before == scope.names:
                break

    def _store(self, target: ast.expr, value: Value, scope: _Scope) -> None:
        match target:
            case ast.Name():
                scope.names[target.id] = value
            case ast.Tuple() | ast.List():
                self._unpack(target.elts, value, scope)
            case ast.Subscript():
                self._write(target, value, scope)
            case _:
                pass

    def _unpack(self, targets: list[ast.expr], value: Value, scope: _Scope) -> None:
        items: list[Value] = [UNKNOWN] * len(targets)
        if isinstance(value, Sizes) and value.dims is not None and len(value.dims) == len(targets):
            items = [Size(d) for d in value.dims]
        elif isinstance(value, Parts) and len(value.items) == len(targets):
            items = list(value.items)
        elif isinstance(value, Tensor):
            items = [replace(value, is_input=False)] * len(targets)
        for target, item in zip(targets, items, strict=True):
            self._store(target, item, scope)

    def _write(self, target: ast.Subscript, value: Value, scope: _Scope) -> None:
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
            new = combine([*base, moved], self._step(target, "written into slots"))
            scope.names[target.value.id] = new.with_dims(dims or new.dims) if isinstance(new, Tensor) else new
        elif isinstance(old, Tensor) and old.masked is False and old.axis(-1) == "K":
            scope.names[target.value.id] = replace(old, masked=True)

    def _sequence_start(self, index: ast.expr, old: Value, value: Tensor, scope: _Scope) -> int | None:
        parts = list(index.elts) if isinstance(index, ast.Tuple) else [index]
        slices = [p for p in parts if isinstance(p, ast.Slice)]
        starts = [self._value(p.lower, scope) if p.lower else Plain(0) for p in slices]
        numbers = [s.value for s in starts if isinstance(s, Plain)]
        if len(numbers) != len(starts) or not all(isinstance(n, int) for n in numbers):
            return None
        positive = [n for n in numbers if isinstance(n, int) and n > 0]
        return positive[0] if positive else 0 if slices else None

    # -- expressions

    def _value(self, node: ast.expr | None, scope: _Scope) -> Value:
        self._tick()
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
                return Parts(tuple(self._value(e, scope) for e in node.elts))
            case ast.Subscript():
                return self._subscript(node, scope)
            case ast.BinOp():
                return self._binop(node, scope)
            case ast.UnaryOp():
                inner = self._value(node.operand, scope)
                if isinstance(node.op, ast.USub) and isinstance(inner, Plain) and isinstance(inner.value, int):
                    return Plain(-inner.value)
                return inner if isinstance(inner, Tensor) else UNKNOWN
            case ast.Compare():
                return self._spread([self._value(v, scope) for v in [node.left, *node.comparators]], node, scope)
            case ast.IfExp():
                test = self._test(node.test, scope)
                if test is not None:
                    return self._value(node.body if test else node.orelse, scope)
                return join(self._value(node.body, scope), self._value(node.orelse, scope))
            case ast.BoolOp():
                return self._spread([self._value(v, scope) for v in node.values], node, scope)
            case ast.Call():
                return self._call(node, scope)
            case ast.Starred():
                return self._value(node.value, scope)
            case ast.ListComp() | ast.GeneratorExp():
                return self._comprehension(node, scope)
            case _:
                return UNKNOWN

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp, scope: _Scope) -> Value:
        inner = _Scope(scope.function, dict(scope.names), scope.owner, scope.returned, scope.unsure)
        for generator in node.generators:
            source = self._value(generator.iter, scope)
            item = source.items[0] if isinstance(source, Parts) and source.items else source
            self._store(generator.target, item if isinstance(item, Module | Tensor) else UNKNOWN, inner)
        return Parts((self._value(node.elt, inner),))

    def _name(self, node: ast.Name, scope: _Scope) -> Value:
        if node.id in scope.names:
            return scope.names[node.id]
        worth = self._settings.worth(node, scope.function)
        return Plain(worth.value) if worth.known and isinstance(worth.value, bool | int | float | str | None) else UNKNOWN

    def _attribute(self, node: ast.Attribute, scope: _Scope) -> Value:
        if node.attr == "training":
            return Plain(False)
        base = self._value(node.value, scope)
        if isinstance(base, Tensor):
            if node.attr == "shape":
                return Sizes(base.dims)
            if node.attr in {"mT", "T"}:
                return base.with_dims(ops.moved(base.dims, -1, -2))
            return base if node.attr in {"data", "real", "grad"} else UNKNOWN
        if isinstance(base, Module):
            module = self._module(base.name, node.attr)
            if module is not None:
                return module
        worth = self._settings.worth(node, scope.function)
        return Plain(worth.value) if worth.known and isinstance(worth.value, bool | int | float | str | None) else UNKNOWN

    def _module(self, cls: str, attr: str) -> Value | None:
        """What ``self.attr`` of class ``cls`` was constructed as."""
        key = (cls, attr)
        if key not in self._modules:
            self._modules[key] = self._find_module(cls, attr) or UNKNOWN
        found = self._modules[key]
        return None if is_unknown(found) else found

    def _find_module(self, cls: str, attr: str) -> Value | None:
        if cls not in self._index.classes:
            return None
        body = self._index.classes[cls][1]
        if cls not in self._built:
            self._built[cls] = self._constructed_attributes(body)
        found = self._built[cls].get(attr, [])
        if len({m.name for m in found}) == 1:
            return found[0]
        for base in body.bases:
            if isinstance(base, ast.Name) and base.id in self._index.classes and base.id != cls and not found:
                return self._find_module(base.id, attr)
        return None

    def _constructed_attributes(self, body: ast.ClassDef) -> dict[str, list[Module]]:
        """The modules that a class's methods bind to attributes, by attribute."""
        found: dict[str, list[Module]] = {}
        for node in ast.walk(body):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [t.attr for t in targets if isinstance(t, ast.Attribute)]
                if names:
                    made = self._constructions(node.value)
                    for name in names:
                        found.setdefault(name, []).extend(made)
        return found

    def _constructions(self, node: ast.expr) -> list[Module]:
        found: list[Module] = []
        for call in ast.walk(node):
            if not isinstance(call, ast.Call):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in {"ModuleList", "Sequential", "ModuleDict"}:
                continue
            is_nn = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in {"nn", "torch"}
            if name in self._index.classes or is_nn or name in _NN_KEEP:
                options = tuple(
                    (k.arg or "", k.value.value if isinstance(k.value, ast.Constant) else ...) for k in call.keywords)
                args = tuple((str(i), a.value if isinstance(a, ast.Constant) else ...) for i, a in enumerate(call.args))
                if name not in {"Parameter", "zeros", "ones", "full", "empty", "randn", "tensor", "arange"}:
                    found.append(Module(name, options + args))
        return found[:1] if found and not any(m.name in self._index.classes for m in found) else [
            m for m in found if m.name in self._index.classes] or found

    def _test(self, node: ast.expr, scope: _Scope) -> bool | None:
        """Decide a condition: constants, ``is None``, settings; None when it cannot be told."""
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot):
            left = self._value(node.left, scope)
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
            value = self._value(node, scope)
            if isinstance(value, Plain) and not is_unknown(value):
                return bool(value.value)
            return None
        worth = self._settings.worth(node, scope.function)
        return bool(worth.value) if worth.known else None

    def _binop(self, node: ast.BinOp, scope: _Scope) -> Value:
        left, right = self._value(node.left, scope), self._value(node.right, scope)
        if isinstance(left, Plain) and isinstance(right, Plain):
            return _arithmetic(node.op, left, right)
        if isinstance(left, Size | Plain) and isinstance(right, Size | Plain):
            one = isinstance(node.op, ast.Mult) and {getattr(left, "axis", ""), getattr(right, "axis", "")} == {B, T}
            return Size("BT") if one else Size("T'") if "T" in (getattr(left, "axis", ""), getattr(right, "axis", "")) else Size(D)
        if isinstance(left, Parts) and isinstance(right, Parts) and isinstance(node.op, ast.Add):
            return Parts(left.items + right.items)
        if isinstance(node.op, ast.MatMult):
            return ops.matmul(left, right, self._step(node, "attention over the whole sequence without a causal mask"))
        value = self._spread([left, right], node, scope)
        if isinstance(value, Tensor) and value.axis(-1) == "K" and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            other = right if isinstance(left, Tensor) else left
            plain_number = isinstance(other, Plain) and not is_unknown(other)
            if isinstance(node.op, ast.Add | ast.Sub) and not plain_number:
                value = replace(value, masked=True)
            elif isinstance(node.op, ast.Mult) and not plain_number and isinstance(node.right, ast.Name | ast.Call):
                value = replace(value, masked=value.masked or _looks_masked(node))
        return value

    def _spread(self, values: list[Value], node: ast.AST, scope: _Scope) -> Value:
        step = self._step(node, "spread over all positions, earlier ones included", scope)
        return combine(values, step)

    def _subscript(self, node: ast.Subscript, scope: _Scope) -> Value:
        base = self._value(node.value, scope)
        if isinstance(base, Module):
            return base
        if isinstance(base, Sizes):
            at = self._value(node.slice, scope)
            if base.dims is not None and isinstance(at, Plain) and isinstance(at.value, int):
                return Size(base.dims[at.value]) if -len(base.dims) <= at.value < len(base.dims) else UNKNOWN
            if base.dims is not None and isinstance(node.slice, ast.Slice):
                bounds = [self._value(p, scope) for p in (node.slice.lower, node.slice.upper)]
                ints = [b.value if isinstance(b, Plain) and isinstance(b.value, int) else None for b in bounds]
                return Parts(tuple(Size(d) for d in base.dims[slice(*ints)]))
            return UNKNOWN
        if isinstance(base, Parts):
            at = self._value(node.slice, scope)
            if isinstance(at, Plain) and isinstance(at.value, int) and -len(base.items) <= at.value < len(base.items):
                return base.items[at.value]
            return join_all(base.items)
        if isinstance(base, Tensor):
            return self._index_tensor(base, node, scope)
        inside = self._value(node.slice, scope) if not isinstance(node.slice, ast.Slice | ast.Tuple) else UNKNOWN
        if isinstance(inside, Tensor):  # a weight table looked up by something that depends on the tokens
            return replace(inside, dims=(*inside.dims, D) if inside.dims is not None else None, is_input=False)
        return UNKNOWN

    def _index_tensor(self, base: Tensor, node: ast.Subscript, scope: _Scope) -> Value:
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if base.dims is None:
            return replace(base, is_input=False, shift=None if len(parts) > 1 else base.shift)
        axes = [p for p in parts if not (isinstance(p, ast.Constant) and p.value in (None, ...))]
        ellipsis = next((i for i, p in enumerate(parts) if isinstance(p, ast.Constant) and p.value is ...), None)
        value, axis, dims = base, 0, list(base.dims)
        drop: list[int] = []
        for i, part in enumerate(parts):
            if ellipsis == i:
                axis = len(dims) - len([p for p in parts[i + 1:] if not (isinstance(p, ast.Constant) and p.value is None)])
                continue
            if isinstance(part, ast.Constant) and part.value is None:
                return replace(value, dims=_with_none(base.dims, parts), is_input=False) if len(axes) == len(
                    [p for p in axes if isinstance(p, ast.Slice) and not p.lower and not p.upper]) else replace(
                    value, dims=None)
            if axis >= len(dims):
                return replace(value, dims=None)
            if isinstance(part, ast.Slice):
                if part.step is not None:
                    return replace(value, dims=None, shift=None)
                low = self._value(part.lower, scope) if part.lower else Plain(0)
                value = ops.sliced(value, axis, low, UNKNOWN, self._step(part, "each slot takes a later position's value", scope))
                if value.dims is None:
                    return value
                if isinstance(part.upper, ast.Constant) and part.upper.value == 1 and value.axis(axis) == T:
                    value = value.with_dims(tuple(ONE if j == axis else d for j, d in enumerate(value.dims)))
            else:
                at = self._value(part, scope)
                if isinstance(at, Tensor):
                    return replace(value, dims=None, shift=None)
                if value.axis(axis) == T and isinstance(at, Plain) and at.value == -1:
                    note = self._step(part, "the last position is taken out", scope)
                    value = replace(value, pooled=value.pooled or Trail((note,)), shift=0, ahead=None)
                drop.append(axis)
            axis += 1
        kept = value.dims or ()
        return replace(value, dims=tuple(d for j, d in enumerate(kept) if j not in drop), is_input=value.is_input and not drop)

    # -- calls

    def _call(self, node: ast.Call, scope: _Scope) -> Value:
        args = [self._value(a, scope) for a in node.args]
        named = {k.arg: self._value(k.value, scope) for k in node.keywords if k.arg}
        func = node.func
        name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
        receiver = self._value(func.value, scope) if isinstance(func, ast.Attribute) else None
        if isinstance(func, ast.Subscript):
            module = self._value(func, scope)
            if isinstance(module, Module):
                return self._module_call(module, args, named, node, scope)
        local = scope.names.get(name) if isinstance(func, ast.Name) else None
        if isinstance(local, Module):
            return self._module_call(local, args, named, node, scope)
        if isinstance(receiver, Module):
            inner = self._module(receiver.name, name)
            if isinstance(inner, Module):
                return self._module_call(inner, args, named, node, scope)
            method = self._method(receiver.name, name)
            if method is not None:
                return self._enter(method, self._bind(method, args, named, receiver), receiver.name)
        if not isinstance(receiver, Tensor):
            own = [f for f in self._index.resolve(func) if f.class_name is None]
            if own and (isinstance(func, ast.Name) or not _is_torch(func)):
                return self._enter(own[-1], self._bind(own[-1], args, named, None), None)
        special = self._attention(name, args, named, node, scope)
        if special is not None:
            return special
        return self._operation(name, receiver, args, named, node, scope)

    def _method(self, cls: str, name: str) -> Function | None:
        for function in self._index.by_name.get(name, []):
            if function.class_name == cls:
                return function
        if cls in self._index.classes:
            for base in self._index.classes[cls][1].bases:
                if isinstance(base, ast.Name) and base.id != cls and base.id in self._index.classes:
                    return self._method(base.id, name)
        return None

    def _module_call(self, module: Module, args: list[Value], named: dict[str, Value], node: ast.Call, scope: _Scope) -> Value:
        if module.name in self._index.classes:
            forward = self._method(module.name, "forward") or self._method(module.name, "__call__")
            if forward is not None:
                return self._enter(forward, self._bind(forward, args, named, module), module.name)
            bases = [getattr(b, "attr", getattr(b, "id", "")) for b in self._index.classes[module.name][1].bases]
            return self._nn_call(bases[0] if bases else "", module, args, named, node, scope)
        return self._nn_call(module.name, module, args, named, node, scope)

    def _nn_call(self, name: str, module: Module, args: list[Value], named: dict[str, Value], node: ast.Call,
                 scope: _Scope) -> Value:
        first = args[0] if args else next(iter(named.values()), UNKNOWN)
        if not isinstance(first, Tensor):
            return UNKNOWN
        options = dict(module.options)
        if name in {"Embedding", "EmbeddingBag"}:
            return replace(first, dims=(*first.dims, D) if first.dims is not None else None, is_input=False)
        if name == "MultiheadAttention":
            masks = [named.get("attn_mask", Plain(None)), named.get("is_causal", Plain(False)), *args[4:]]
            open_ = all(isinstance(m, Plain) and not m.value and not is_unknown(m) for m in masks)
            step = self._step(node, "nn.MultiheadAttention without a causal mask", scope)
            both = combine(args[:3], step)
            if open_ and isinstance(both, Tensor) and all(isinstance(a, Tensor) and a.has_sequence for a in args[:2]):
                both = replace(both, mixed=both.mixed or Trail((step,)))
            return Parts((both, UNKNOWN))
        if name in {"LSTM", "GRU", "RNN"}:
            if options.get("bidirectional") is True:
                step = self._step(node, f"nn.{name} runs in both directions", scope)
                return Parts((replace(first, mixed=first.mixed or Trail((step,)), is_input=False), UNKNOWN))
            return Parts((replace(first, is_input=False), UNKNOWN))
        if name == "Conv1d":
            return self._conv(first, options, node, scope)
        if name in {"TransformerEncoder", "TransformerEncoderLayer"}:
            masks = [*args[1:], *named.values()]
            if not masks:
                step = self._step(node, f"nn.{name} without a mask", scope)
                return replace(first, mixed=first.mixed or Trail((step,)))
        return replace(first, is_input=False)

    def _conv(self, value: Tensor, options: dict[str, object], node: ast.Call, scope: _Scope) -> Value:
        kernel, padding = options.get("kernel_size", options.get("2", ...)), options.get("padding", options.get("4", 0))
        dilation = options.get("dilation", 1)
        if value.axis(-1) != T or value.shift is None:
            return replace(value, is_input=False)
        if not isinstance(kernel, int) or not isinstance(padding, int) or not isinstance(dilation, int):
            return replace(value, shift=None, is_input=False)
        shift = value.shift + (kernel - 1) * dilation - padding
        step = self._step(node, f"a convolution of {kernel} taps with {padding} padded sees {shift} positions ahead", scope)
        return replace(value, shift=shift, ahead=Trail((step,)) if shift > 0 else None, is_input=False)

    def _attention(self, name: str, args: list[Value], named: dict[str, Value], node: ast.Call, scope: _Scope) -> Value | None:
        if name == "scaled_dot_product_attention":
            masks = [named.get("attn_mask", args[3] if len(args) > 3 else Plain(None))]
            causal = named.get("is_causal", args[5] if len(args) > 5 else Plain(False))
            what, need = "scaled_dot_product_attention without a causal mask", -2
        elif name in _FLASH:
            masks, causal = [], named.get("causal", UNKNOWN if len(args) > 4 else Plain(False))
            what, need = f"{name} with causal=False", -3
        elif name == "flex_attention":
            masks = [named.get("block_mask", args[4] if len(args) > 4 else Plain(None)),
                     named.get("score_mod", args[3] if len(args) > 3 else Plain(None))]
            causal, what, need = Plain(False), "flex_attention without a mask", -2
        else:
            return None
        query = [named.get(k, UNKNOWN) for k in ("query", "key", "value")] if not args else args[:3]
        tensors = [q for q in query if isinstance(q, Tensor)]
        both = combine(list(tensors), self._step(node, what, scope))
        if not isinstance(both, Tensor):
            return UNKNOWN
        both = replace(both, dims=tensors[0].dims)
        if any(k.arg is None for k in node.keywords) or len(tensors) < 2:
            return both
        open_ = all(isinstance(m, Plain) and m.value is None for m in masks)
        free = isinstance(causal, Plain) and causal.value in (False, 0, None) and not is_unknown(causal)
        if open_ and free and tensors[0].axis(need) == T and tensors[1].axis(need) == T and both.mixed is None:
            return replace(both, mixed=Trail((self._step(node, what, scope),)))
        return both

    def _operation(self, name: str, receiver: Value | None, args: list[Value], named: dict[str, Value], node: ast.Call,
                   scope: _Scope) -> Value:
        subject = receiver if isinstance(receiver, Tensor) else args[0] if args and isinstance(args[0], Tensor) else None
        rest = args if isinstance(receiver, Tensor) else args[1:]
        step = self._step(node, f"{name}() over the sequence axis", scope)
        if name in {"cross_entropy", "linear_cross_entropy", "softcapped_entropy", "nll_loss"}:
            first = args[0] if args else UNKNOWN
            if isinstance(first, Tensor):
                self._losses.append((first, self._step(node, "the loss is taken of it", scope)))
            return UNKNOWN
        if name in {"cat", "concat", "stack", "concatenate"} and args and isinstance(args[0], Parts):
            return self._cat(name, args, named, node, step)
        if name == "embedding" and args and isinstance(args[0], Tensor):
            first = args[0]
            return replace(first, dims=(*first.dims, D) if first.dims is not None else None, is_input=False)
        if name in {"where", "baddbmm"}:
            value = combine(args, self._step(node, "spread over all positions, earlier ones included", scope))
            return replace(value, masked=True) if isinstance(value, Tensor) and value.axis(-1) == "K" else value
        if name == "checkpoint" and len(node.args) > 1:
            call = ast.Call(node.args[0], node.args[1:], [])
            return self._call(ast.copy_location(call, node), scope)
        if subject is None:
            given = [a for a in [*args, *named.values()] if isinstance(a, Tensor | Parts)]
            return _forget(given) if given else UNKNOWN
        return self._tensor_operation(name, subject, rest, named, node, scope, step)

    def _tensor_operation(self, name: str, subject: Tensor, rest: list[Value], named: dict[str, Value], node: ast.Call,
                          scope: _Scope, step: PathStep) -> Value:
        axis = named.get("dim", named.get("axis", rest[0] if rest else None))
        number = axis.value if isinstance(axis, Plain) and isinstance(axis.value, int) else None
        ints = [r.value for r in rest if isinstance(r, Plain) and isinstance(r.value, int)]
        if ops.is_reduction(name) and name not in {"max", "min"} or (name in {"max", "min"} and number is not None):
            keep = named.get("keepdim", rest[1] if len(rest) > 1 else Plain(False))
            if name in {"norm", "vector_norm"}:
                axis = named.get("dim", rest[1] if len(rest) > 1 and name == "norm" else None)
            axes = _axes(axis)
            if axes == []:
                return replace(subject, dims=None, is_input=False)
            value = ops.reduce_over(subject, axes, isinstance(keep, Plain) and keep.value is True, step, name)
            return Parts((value, value)) if name in {"max", "min", "median"} else value
        if name in {"max", "min"} and not rest:
            return ops.reduce_over(subject, None, False, step, name)
        if ops.is_scan(name):
            return replace(subject, is_input=False)
        if name in {"softmax", "log_softmax"}:
            return ops.softmax(subject, number, self._step(node, "attention over the whole sequence without a causal mask", scope))
        if name in {"masked_fill", "masked_fill_", "tril", "tril_"}:
            return replace(subject, masked=True, is_input=False)
        if name in {"view", "reshape", "expand", "view_as", "expand_as", "reshape_as"}:
            if name.endswith("_as"):
                other = rest[0] if rest else UNKNOWN
                return replace(subject, dims=other.dims if isinstance(other, Tensor) else None)
            value = ops.reshape(subject, rest)
            if name == "expand" and isinstance(value, Tensor) and subject.pooled and value.has_sequence and not value.mixed:
                value = replace(value, mixed=subject.pooled.then(self._step(node, "expanded over all positions", scope)))
            return value
        if name in {"transpose", "swapaxes"} and len(ints) == 2:
            return subject.with_dims(ops.moved(subject.dims, ints[0], ints[1]))
        if name == "permute":
            order = [r.value for r in (rest[0].items if rest and isinstance(rest[0], Parts) else rest) if isinstance(r, Plain)]
            return subject.with_dims(ops.permuted(subject.dims, [o for o in order if isinstance(o, int)]))
        if name == "unsqueeze" and number is not None and subject.dims is not None:
            at = number if number >= 0 else len(subject.dims) + 1 + number
            return subject.with_dims((*subject.dims[:at], ONE, *subject.dims[at:]))
        if name == "squeeze" and number is not None and subject.dims is not None:
            at = number % len(subject.dims) if subject.dims else 0
            dims = tuple(d for i, d in enumerate(subject.dims) if i != at) if subject.axis(number) != T else subject.dims
            return subject.with_dims(dims)
        if name == "size":
            if number is None:
                return Sizes(subject.dims)
            return Size(subject.axis(number) or D)
        if name == "roll":
            return self._roll(subject, rest, named, step)
        if name in {"flip", "fliplr"}:
            axes = _axes(named.get("dims", rest[0] if rest else None))
            over = axes is not None and any(subject.axis(a) == T for a in axes)
            return replace(subject, shift=None if over else subject.shift, dims=subject.dims if not over else None)
        if name == "pad":
            return self._pad(subject, rest)
        if name in {"chunk", "split", "unbind", "tensor_split"}:
            along = named.get("dim", rest[1] if len(rest) > 1 else Plain(0))
            if isinstance(along, Plain) and isinstance(along.value, int) and subject.axis(along.value) not in {T, None}:
                return subject if name != "unbind" else replace(subject, dims=None)
            return replace(subject, dims=None, shift=None)
        if name in {"matmul", "bmm", "mm"} and rest:
            return ops.matmul(subject, rest[0], self._step(node, "attention over the whole sequence without a causal mask", scope))
        if name in ops.KEEP:
            return self._spread([subject, *rest, *named.values()], node, scope)
        value = _forget([subject, *rest, *named.values()])
        return value

    def _cat(self, name: str, args: list[Value], named: dict[str, Value], node: ast.Call, step: PathStep) -> Value:
        parts = list(args[0].items) if isinstance(args[0], Parts) else []
        axis = named.get("dim", named.get("axis", args[1] if len(args) > 1 else Plain(0)))
        number = axis.value if isinstance(axis, Plain) and isinstance(axis.value, int) else None
        if name == "stack" or number is None:
            value = combine(parts, step)
            return replace(value, dims=None) if isinstance(value, Tensor) else value
        lengths: list[int | None] = []
        for part in parts:
            single = isinstance(part, Tensor) and part.axis(number) == ONE
            lengths.append(1 if single else None)
        source = node.args[0] if node.args else None
        if isinstance(source, ast.List | ast.Tuple):
            for i, element in enumerate(source.elts):
                if lengths[i] is None and i < len(parts) and not isinstance(parts[i], Tensor):
                    lengths[i] = _literal_length(element, number)
        return ops.concatenated(parts, number, step, lengths)

    def _roll(self, subject: Tensor, rest: list[Value], named: dict[str, Value], step: PathStep) -> Value:
        by = named.get("shifts", rest[0] if rest else UNKNOWN)
        axes = _axes(named.get("dims", rest[1] if len(rest) > 1 else None))
        if axes is None or not any(subject.axis(a) == T for a in axes):
            return replace(subject, is_input=False, dims=subject.dims)
        if not isinstance(by, Plain) or not isinstance(by.value, int) or subject.shift is None:
            return replace(subject, shift=None)
        shift = subject.shift - by.value
        note = PathStep(step.file, step.line, f"roll by {by.value} along the sequence axis")
        return replace(subject, shift=shift, ahead=Trail((note,)) if shift > 0 else None, is_input=False)

    def _pad(self, subject: Tensor, rest: list[Value]) -> Value:
        amounts = [p.value for p in rest[0].items if isinstance(p, Plain)] if rest and isinstance(rest[0], Parts) else []
        if subject.dims is None or T not in subject.dims:
            return subject
        at = len(subject.dims) - 1 - subject.dims.index(T)
        if not isinstance(rest[0] if rest else None, Parts) or len(amounts) != len(rest[0].items):  # type: ignore[attr-defined]
            return replace(subject, shift=None)
        front = amounts[2 * at] if len(amounts) > 2 * at else 0
        if not isinstance(front, int) or subject.shift is None:
            return replace(subject, shift=None)
        shift = subject.shift - front
        return replace(subject, shift=shift, ahead=subject.ahead if shift > 0 else None, is_input=False)

    def _step(self, node: ast.AST, note: str, scope: _Scope | None = None) -> PathStep:
        file = scope.function.file if scope else ""
        return PathStep(file, getattr(node, "lineno", 1), note)

    def _tick(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise _Budget


def join_all(values: tuple[Value, ...]) -> Value:
    """`join` over several."""
    out: Value = values[0] if values else UNKNOWN
    for value in values[1:]:
        out = join(out, value)
    return out


def _forget(values: list[Value]) -> Value:
    """An operation that is not known: axes and shifts are lost, what was mixed stays mixed."""
    flat = [v for value in values for v in (value.items if isinstance(value, Parts) else (value,))]
    tensors = [v for v in flat if isinstance(v, Tensor)]
    if not tensors:
        return UNKNOWN
    mixed = next((t.mixed for t in tensors if t.mixed), None)
    same = tensors[0].dims if len(tensors) == 1 else None
    return Tensor(same, None, None, mixed.unsure() if mixed else None)


def _axes(value: Value | None) -> list[int] | None:
    """Axis numbers; None for "all axes", an empty list for "not known"."""
    if value is None or (isinstance(value, Plain) and value.value is None):
        return None
    if isinstance(value, Plain) and isinstance(value.value, int) and not isinstance(value.value, bool):
        return [value.value]
    if isinstance(value, Parts):
        numbers = [v.value for v in value.items if isinstance(v, Plain) and isinstance(v.value, int)]
        return numbers if len(numbers) == len(value.items) else []
    return []


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


def _is_torch(func: ast.expr) -> bool:
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id in {"F", "torch", "nn", "np"}


def _literal_length(node: ast.expr, axis: int) -> int | None:
    """The length along ``axis`` of ``torch.zeros(B, 1, D)`` or ``x.new_zeros(...)``, when it is a literal."""
    if not isinstance(node, ast.Call):
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name == "zeros_like" or name == "full_like" or name == "ones_like":
        inner = node.args[0] if node.args else None
        return _slice_length(inner, axis) if isinstance(inner, ast.Subscript) else None
    if name not in {"zeros", "new_zeros", "ones", "full", "new_full", "new_ones", "empty"}:
        return None
    sizes: list[ast.expr] = list(node.args)
    if sizes and isinstance(sizes[0], ast.Tuple | ast.List):
        sizes = list(sizes[0].elts)
    size = sizes[axis] if -len(sizes) <= axis < len(sizes) else None
    return size.value if isinstance(size, ast.Constant) and isinstance(size.value, int) else None


def _slice_length(node: ast.Subscript, axis: int) -> int | None:
    parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    part = parts[axis] if -len(parts) <= axis < len(parts) else None
    upper = part.upper if isinstance(part, ast.Slice) and part.lower is None else None
    return upper.value if isinstance(upper, ast.Constant) and isinstance(upper.value, int) else None


def _with_none(dims: tuple[str, ...], parts: list[ast.expr]) -> tuple[str, ...]:
    out: list[str] = []
    rest = list(dims)
    for i, part in enumerate(parts):
        if isinstance(part, ast.Constant) and part.value is None:
            out.append(ONE)
        elif isinstance(part, ast.Constant) and part.value is ...:
            after = len([p for p in parts[i + 1:] if not (isinstance(p, ast.Constant) and p.value is None)])
            count = len(rest) - after
            out += rest[:count]
            rest = rest[count:]
        elif rest:
            out.append(rest.pop(0))
    return tuple(out + rest)


__all__ = ["FunctionNode", "analyse_causality"]
