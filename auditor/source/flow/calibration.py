"""What a quantiser's calibration is made of: statistics of activations, and tokens that the model made itself."""

from __future__ import annotations

import ast

from auditor.source.facts import Origin
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, UNKNOWN, Labels, Val, union

_READS = frozenset({"get", "setdefault", "pop"})


def statistics(m: Machine, node: ast.AST, added: Labels) -> Labels:
    """Activations that are accumulated outside a loss: statistics, with the label that says so.

    What is computed with statistics of another place uses them: it collects nothing.
    """
    kinds = {m.labels[n].kind for n in added}
    if "stat" in kinds and not _only_from(m, node, added):
        return EMPTY
    if "par" in kinds and "nll" not in kinds and ("gen" in kinds or {"acc", "src"} <= kinds) and m.origins(added):
        event = m.event("stat", node, added)
        return frozenset({m.label("stat", event.id)})
    return EMPTY


def in_model(m: Machine) -> bool:
    """Whether the running function belongs to a model: what it keeps in names and lists is its forward's own."""
    owner = m.frame.self_obj
    return m.forward_depth > 0 or (owner is not None and owner.weights is not None)


def _only_from(m: Machine, node: ast.AST, labels: Labels) -> bool:
    """Whether all statistics among ``labels`` were collected at ``node`` (in an earlier turn)."""
    here = m.site(node)
    sites = [m.events[m.labels[n].key[0]].site for n in m.of_kind(labels, "stat")]
    return all((s.file, s.line, s.column) == (here.file, here.line, here.column) for s in sites)


def accumulated(m: Machine, frame: Frame, node: ast.Assign, val: Val) -> Val:
    """``total = max(total, activations)`` and ``sums[name] = sums.get(name, 0) + x.T @ x`` make statistics.

    Inside a model's forward the same form is a residual stream, and so is what already held data in the first turn.
    """
    if in_model(m) or not _accumulates(node):
        return val
    labels = m.deep(val)
    target = node.targets[0]
    if isinstance(target, ast.Name):
        old = frame.env.get(target.id)
        before = EMPTY if old is None else m.deep(old)
        if not m.of_kind(before, "stat") and m.of_kind(before, "src", "gen"):
            return val
    return val.with_labels(statistics(m, node, labels))


def _accumulates(node: ast.Assign) -> bool:
    """Whether the assigned value reads the target's old one (remembered on the node)."""
    cached: bool | None = getattr(node, "_accumulates", None)
    if cached is None:
        cached = len(node.targets) == 1 and _reads(node.targets[0], node.value)
        node._accumulates = cached  # type: ignore[attr-defined]
    return cached


def _reads(target: ast.expr, value: ast.expr) -> bool:
    if not isinstance(target, (ast.Name, ast.Attribute, ast.Subscript)) or isinstance(value, (ast.Name, ast.Constant)):
        return False
    text = ast.unparse(target)
    base = ast.unparse(target.value) if isinstance(target, ast.Subscript) else None
    for part in ast.walk(value):
        if isinstance(part, type(target)) and ast.unparse(part) == text:
            return True
        func = part.func if isinstance(part, ast.Call) else None
        if isinstance(func, ast.Attribute) and func.attr in _READS and ast.unparse(func.value) == base:
            return True
    return False


def sampled(m: Machine, args: list[Val], *, certain: bool) -> Val | None:
    """Tokens drawn from (or the likeliest under) a model's output: generated text, with the data of its prompt.

    ``certain``: the call draws at random. The likeliest token given loaded data is a prediction, no generated text
    (None then, and for what is no model's output).
    """
    labels, deps = union(args)
    for arg in args[:1]:
        labels = labels | m.deep(arg)
    loaded = m.has_origin(labels, Origin.VAL) or m.has_origin(labels, Origin.TRAIN)
    if not m.of_kind(labels, "par") or (loaded and not certain):
        return None
    prompt = frozenset(n for n in m.of_kind(labels, "src", "acc") if m.labels[n].key[0] is not Origin.RANDOM)
    made = {m.label("src", Origin.GENERATED, "", 0, "generated"), m.label("gen")}
    return Val(UNKNOWN, prompt | made, deps | m.all_loops())
