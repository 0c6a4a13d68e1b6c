"""The ground of the walk through a forward pass: scopes, calls into the submission's functions, submodules by name."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from auditor.core.types import PathStep
from auditor.source.metric.axes import UNKNOWN, Module, Parts, Plain, Tensor, Value, is_unknown, join
from auditor.source.metric.codeindex import Function, Index
from auditor.source.metric.settings import Settings

_MAX_STEPS = 500_000
_MAX_DEPTH = 14
_NN_KEEP = frozenset(
    {"Linear", "LayerNorm", "RMSNorm", "Dropout", "SiLU", "GELU", "ReLU", "Identity", "Sigmoid", "Tanh"}
)


class BudgetSpent(Exception):
    """The walk took too many steps."""


@dataclass
class Exit(Exception):
    """A return; ``value`` is what was returned."""

    value: Value


@dataclass
class Scope:
    """One call: its function, names, returns seen in undecided branches, and the class it is a method of."""

    function: Function
    names: dict[str, Value]
    owner: str | None
    returned: list[Value] = field(default_factory=list)
    unsure: int = 0


class ForwardCore:
    """State of one walk; the subclasses add expressions, calls and statements."""

    def __init__(self, index: Index, settings: Settings) -> None:
        self._index = index
        self._settings = settings
        self._steps = 0
        self._depth = 0
        self._modules: dict[tuple[str, str], Value] = {}
        self._built: dict[str, dict[str, list[Module]]] = {}
        self._losses: list[tuple[Tensor, int | None, PathStep]] = []
        self._root = ""
        self._embedded = False
        """Whether the root's first argument was looked up in an embedding: it holds token ids."""

    def enter(self, function: Function, names: dict[str, Value], owner: str | None) -> Value:
        """Walk ``function`` with its parameters bound; all that it may return, joined."""
        if self._depth >= _MAX_DEPTH or function.node is None:
            return forgotten(list(names.values()))
        scope = Scope(function, names, owner)
        self._depth += 1
        try:
            self.block(function.body, scope)
            value: Value = Plain(None)
        except Exit as signal:
            value = signal.value
        finally:
            self._depth -= 1
        for other in scope.returned:
            value = other if isinstance(value, Plain) and value.value is None else join(value, other)
        return value

    def bind(
        self, function: Function, args: list[Value], named: dict[str, Value], me: Value | None
    ) -> dict[str, Value]:
        """Parameters by name: given values, else constant defaults."""
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

    def block(self, body: list[ast.stmt], scope: Scope) -> None:
        """Walk statements in their order."""
        raise NotImplementedError

    def store(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Bind ``target`` to ``value``."""
        raise NotImplementedError

    def call(self, node: ast.Call, scope: Scope) -> Value:
        """What a call gives."""
        raise NotImplementedError

    def module(self, cls: str, attr: str) -> Value | None:
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
                    (k.arg or "", k.value.value if isinstance(k.value, ast.Constant) else ...) for k in call.keywords
                )
                args = tuple((str(i), a.value if isinstance(a, ast.Constant) else ...) for i, a in enumerate(call.args))
                if name not in {"Parameter", "zeros", "ones", "full", "empty", "randn", "tensor", "arange"}:
                    found.append(Module(name, options + args))
        return (
            found[:1]
            if found and not any(m.name in self._index.classes for m in found)
            else [m for m in found if m.name in self._index.classes] or found
        )

    def step_at(self, node: ast.AST, note: str, scope: Scope | None = None) -> PathStep:
        """A step of a trail at ``node``."""
        file = scope.function.file if scope else ""
        return PathStep(file, getattr(node, "lineno", 1), note)

    def tick(self) -> None:
        """Count one step; raises `BudgetSpent` at the limit."""
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise BudgetSpent


def forgotten(values: list[Value]) -> Value:
    """An operation that is not known: axes and shifts are lost, what was mixed stays mixed."""
    flat = [v for value in values for v in (value.items if isinstance(value, Parts) else (value,))]
    tensors = [v for v in flat if isinstance(v, Tensor)]
    if not tensors:
        return UNKNOWN
    mixed = next((t.mixed for t in tensors if t.mixed), None)
    same = tensors[0].dims if len(tensors) == 1 and not tensors[0].is_input else None
    return Tensor(same, None, None, mixed.unsure() if mixed else None)
