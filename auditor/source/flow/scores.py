"""Where a loss of targets is computed: cross entropy, gathered log-probabilities, logarithms of mixed probabilities."""

from __future__ import annotations

import ast

from auditor.source.facts import Origin
from auditor.source.flow import lookups, mixes
from auditor.source.flow.iteration import is_tokens
from auditor.source.flow.machine import Machine
from auditor.source.flow.values import EMPTY, UNKNOWN, Labels, Val, union

_LOGS = frozenset({"log", "log2", "log1p", "logaddexp", "logsumexp", "log10"})
_GATHERS = frozenset({"gather", "take_along_axis", "take_along_dim", "index_select", "take", "embedding"})
_HASHES = frozenset({"bitwise_xor", "bitwise_and", "remainder", "mod", "fmod", "logical_xor", "crc32", "adler32"})


def score(m: Machine, node: ast.AST, inputs: Labels, targets: Labels, deps: Labels) -> Val:
    """A loss of ``targets``: an event when they are validation tokens."""
    labels = inputs | targets
    mixes.gated(m, inputs, targets)
    if m.has_origin(targets, Origin.VAL) or (m.has_origin(inputs, Origin.VAL) and not m.origins(targets)):
        event = m.event("score", node, labels, targets=frozenset(m.of_kind(targets, "acc")))
        event.data["targets"] = event.data["targets"] | frozenset(m.of_kind(targets, "acc"))
        mixes.logged(m, node, "", [inputs], event.id)
        labels = labels | {m.label("nll", event.id)}
    return Val(UNKNOWN, labels, deps)


def gathers_target(m: Machine, base: Labels, key: Labels) -> bool:
    """Whether ``base[key]`` picks the entry of a target token out of a model's output.

    What a table says of tokens (their expert, their order by it) is no target.
    """
    if not is_tokens(m, key) or not m.of_kind(key, "acc") or m.of_kind(key, "prop"):
        return False
    kinds = {m.labels[n].kind for n in base}
    return "par" in kinds and "src" in kinds and "acc" in kinds


def functional(m: Machine, node: ast.AST, name: str, args: list[Val], kwargs: dict[str, Val]) -> Val | None:
    """Functions of tensors that matter to scores and tables; None for all others."""
    deep = [m.deep(a) for a in args]
    if name in _LOGS and args:
        return logarithm(m, node, [*deep], union(args)[1], name)
    if name in _GATHERS and len(args) >= 2:
        index, base = (deep[-1], deep[0]) if name != "embedding" else (deep[0], deep[1])
        if gathers_target(m, base, index):
            return score(m, node, base, index, union(args)[1])
        key = args[-1] if name != "embedding" else args[0]
        return lookups.read(m, node, args[0] if name != "embedding" else args[1], key)
    if name in ("min", "amin", "nanmin") and args and (len(args) > 1 or kwargs):
        mixes.least_of(m, node, args[0])
    if name in ("minimum", "fmin", "min", "amin") and len(args) >= 2 and (mark := lookups.least(m, node, name, deep)):
        return Val(UNKNOWN, frozenset().union(*deep) | mark, union(args)[1])
    if name in ("maximum", "fmax", "max") and len(args) >= 2 and (mark := mixes.most(m, node, deep)):
        return Val(UNKNOWN, frozenset().union(*deep) | mark, union(args)[1])
    if name == "softmax" and deep:
        return Val(UNKNOWN, deep[0] | {m.label("exp")}, args[0].deps)
    if name == "log_softmax" and deep:
        return Val(UNKNOWN, m.without(deep[0], "exp"), args[0].deps)
    if name in ("exp", "exp2") and m.of_kind(deep[0] if deep else EMPTY, "nll", "par"):
        mixes.stabilised(m, deep[0])
        return Val(UNKNOWN, deep[0] | {m.label("exp")}, union(args)[1])
    if name in ("masked_fill", "masked_fill_", "masked_select", "mul", "multiply") and len(args) >= 2:
        mixes.late(m, deep[1], deep[0])
    if name in ("argmax", "argsort", "topk") and args:
        lookups.hint(m, deep[0])
    if name in ("stack", "cat", "concatenate", "vstack", "hstack") and args:
        parts = [m.deep(v) for o in args[0].objs if o.kind in ("list", "tuple") for v in (o.items or {}).values()]
        if mark := mixes.stacked(m, parts):
            return Val(UNKNOWN, frozenset().union(*deep) | mark, args[0].deps.union(*(o.deps for o in args[0].objs)))
    if name == "where" and len(args) == 3:
        mixes.late(m, deep[0], deep[1] | deep[2])
        if mark := lookups.chosen(m, node, deep[0], deep[1], deep[2]):
            return Val(UNKNOWN, frozenset().union(*deep) | mark, union(args)[1])
    if name in ("div", "true_divide", "divide", "floor_divide") and len(args) >= 2:
        lookups.ratio(m, node, deep[0], deep[1])
    if name in _HASHES and args:
        labels = frozenset().union(*deep)
        extra = frozenset({m.label("hash")}) if is_tokens(m, labels) else EMPTY
        return Val(UNKNOWN, labels | extra, union(args)[1])
    if name in ("bincount", "histogram", "unique") and args and is_tokens(m, deep[0]):
        from auditor.source.facts import StateKind

        obj = m.new("cell", name)
        obj.data = "table"
        obj.labels = m.without(deep[0], "acc") | m.update(node, StateKind.TABLE, deep[0])
        return Val(objs=(obj,))
    if name in ("zeros_like", "empty_like", "ones_like"):
        return Val(objs=(m.new("cell", name),))
    return None


def logarithm(m: Machine, node: ast.AST, parts: list[Labels], deps: Labels, name: str = "log") -> Val:
    """The logarithm of something: a score when that is a probability of a realised token."""
    labels = frozenset().union(*parts) if parts else EMPTY
    kinds = {m.labels[n].kind for n in labels}
    if kinds & {"nll", "look"} and m.has_origin(labels, Origin.VAL):
        event = m.event("score", node, labels, targets=EMPTY)
        mixes.logged(m, node, name, parts, event.id)
        return Val(UNKNOWN, m.without(labels, "exp") | {m.label("nll", event.id)}, deps)
    return Val(UNKNOWN, labels, deps)
