"""Mixtures and choices that know the outcome: kept minima, tuned constants, stored copies, gates, byte mixtures.

A sum of probabilities is suspect by what its terms are made of, and counts once its logarithm is taken: the term of
a byte model beside a token's probability, or a value of the model's output that belongs to no token at all. What
only selects (a comparison with a stored copy of the text) is put on the losses that it selects.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from auditor.source.facts import MixKind, Origin
from auditor.source.flow.iteration import is_tokens
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, Labels, Val

_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def nlls(m: Machine, labels: Labels) -> frozenset[int]:
    """The scores among ``labels``."""
    return frozenset(m.of_kind(labels, "nll"))


# -- sums of probabilities ----------------------------------------------------------------------------------------


def added(m: Machine, node: ast.AST, left: Labels, right: Labels) -> Labels:
    """The labels that mark a sum as a suspect mixture; empty for every other sum."""
    for a, b in ((left, right), (right, left)):
        if not nlls(m, a) or not m.has_origin(a, Origin.VAL):
            continue
        kind = _foreign(m, a, b)
        if m.of_kind(b, "look", "nll"):
            site = m.site(node)
            m.explained.add((site.file, site.line, site.column))
        if kind is not None:
            event = m.event("mix", node, left | right, variant=kind, kind=kind, scores=frozenset())
            return frozenset({m.label("mix", event.id)})
    return EMPTY


def _foreign(m: Machine, score: Labels, other: Labels) -> MixKind | None:
    """What ``other`` is, beside the probability of a realised token."""
    looks = m.of_kind(other, "look")
    if _by_bytes(m, other) and not _neural(m, other) and _neural(m, score):
        return MixKind.BYTE_MIX
    if nlls(m, other):
        return None
    kinds = {m.labels[n].kind for n in other}
    if not looks and {"par", "acc", "src"} <= kinds and m.has_origin(other, Origin.VAL):
        return MixKind.TARGET_ONLY_MIX
    return None


def _by_bytes(m: Machine, labels: Labels) -> bool:
    """Whether a table of bytes was asked; one that names a whole token as its hint is none."""
    looks = [m.events[m.labels[n].key[0]].data for n in m.of_kind(labels, "look")]
    return any(look.get("byte") for look in looks) and not any(look.get("use") == "hint" for look in looks)


def _neural(m: Machine, labels: Labels) -> bool:
    """Whether a score that no byte table had a part in is among ``labels``."""
    return any(not _by_bytes(m, m.events[m.labels[n].key[0]].labels) for n in nlls(m, labels))


def weighted(m: Machine, node: ast.AST, left: Labels, right: Labels) -> Labels:
    """A mark on a product of a table's probability and a weight that is made of the target's own loss."""
    exp = m.label("exp")
    for a, b in ((left, right), (right, left)):
        if nlls(m, a) and exp not in a and m.of_kind(b, "look") and not nlls(m, b) and m.has_origin(a, Origin.VAL):
            kind = MixKind.BEST_OF_EXPERTS
            event = m.event("mix", node, left | right, variant=kind, kind=kind, scores=frozenset())
            return frozenset({m.label("mix", event.id)})
    return EMPTY


def difference(m: Machine, node: ast.AST, left: Labels, right: Labels) -> Labels:
    """Marks on a difference of losses: of a token's and a byte table's, or from the chosen one of several."""
    if not nlls(m, left) or not nlls(m, right):
        return EMPTY
    marks = frozenset(m.label("diff", m.labels[n].key[0]) for n in m.of_kind(left | right, "pick"))
    for a, b in ((left, right), (right, left)):
        if _foreign(m, a, b) is MixKind.BYTE_MIX:
            kind = MixKind.BYTE_MIX
            event = m.event("mix", node, left | right, variant=kind, kind=kind, scores=frozenset())
            return marks | {m.label("mix", event.id)}
    return marks


def stabilised(m: Machine, labels: Labels) -> None:
    """``exp(a - max(a, b))``: the chosen one was taken out of a sum of exponentials, no choice between experts."""
    for n in m.of_kind(labels, "diff"):
        m.events[m.labels[n].key[0]].data["stabiliser"] = True


def stacked(m: Machine, parts: Sequence[Labels]) -> Labels:
    """A mark on experts of which some are losses of the target and another is a value of the model's output."""
    scored = [p for p in parts if nlls(m, p)]
    odd = [p for p in parts if not nlls(m, p) and scored and _foreign(m, scored[0], p) is MixKind.TARGET_ONLY_MIX]
    return frozenset({m.label("odd")}) if scored and odd else EMPTY


def logged(m: Machine, node: ast.AST, name: str, parts: Sequence[Labels], score: int) -> None:
    """The logarithm ``score`` is taken of ``parts``: what was suspect in them counts now."""
    labels = frozenset().union(*parts) if parts else EMPTY
    for n in m.of_kind(labels, "mix"):
        event = m.events[m.labels[n].key[0]]
        if score not in event.data["scores"]:
            event.data["scores"] = event.data["scores"] | {score}
            m.acted()
    found = added(m, node, parts[0], parts[1]) if name == "logaddexp" and len(parts) >= 2 else EMPTY
    if not found and m.of_kind(labels, "odd"):
        kind = MixKind.TARGET_ONLY_MIX
        found = frozenset(
            {m.label("mix", m.event("mix", node, labels, variant=kind, kind=kind, scores=frozenset()).id)}
        )
    for n in found:
        m.events[m.labels[n].key[0]].data["scores"] |= {score}


def most(m: Machine, node: ast.AST, parts: Sequence[Labels]) -> Labels:
    """A mark on the larger of several probabilities of the realised token."""
    made = [frozenset(m.of_kind(p, "nll", "look")) for p in parts]
    made = [p for p in made if p]
    if not any(m.label("exp") in p and m.of_kind(p, "nll") for p in parts):
        return EMPTY  # logarithms: the larger is taken out of a sum of exponentials
    if len(made) < 2 or not any(m.of_kind(p, "nll") for p in made) or all(p <= made[0] for p in made[1:]):
        return EMPTY
    kind = MixKind.BEST_OF_EXPERTS
    event = m.event("mix", node, frozenset().union(*parts), variant=kind, kind=kind, scores=frozenset())
    return frozenset({m.label("mix", event.id)})


_LIBRARIES = ("ctypes.CDLL", "ctypes.cdll.LoadLibrary", "ctypes.PyDLL", "cpp_extension.load")


def is_native(owner: Val) -> bool:
    """Whether a value is compiled code that was loaded."""
    return any(o.kind == "opaque" and any(o.name.startswith(n) or n in o.name for n in _LIBRARIES) for o in owner.objs)


def native(m: Machine, node: ast.AST, args: Sequence[Val]) -> None:
    """A call of compiled code: what it is given may be in every array that it is given.

    Code that takes the losses of tokens together with the tokens (or their bytes) makes other losses of them.
    """
    parts = [m.deep(a) for a in args]
    labels = frozenset().union(*parts) if parts else EMPTY
    for arg in args:
        for obj in arg.objs:
            if obj.kind == "cell":
                m.taint(obj, labels)
    text = any(is_tokens(m, p) and m.of_kind(p, "acc") and m.has_origin(p, Origin.VAL) for p in parts)
    if not text or not _neural(m, labels):
        return
    event = m.event("mix", node, labels, variant="native", kind=MixKind.BYTE_MIX, scores=frozenset())
    event.data["scores"] |= frozenset(m.labels[n].key[0] for n in nlls(m, labels))
    event.guard = event.guard or "the compiled code mixes predictions of the bytes into these losses"


# -- choices by the scores themselves -----------------------------------------------------------------------------


def per_slice(m: Machine, labels: Labels) -> bool:
    """Whether a choice made here is made for one slice of the text after another."""
    return bool(m.varies(labels) & m.all_loops())


def choice(m: Machine, node: ast.AST, a: Labels, b: Labels) -> Labels:
    """One of two losses of the same slice is kept for being the lower: the mark of that."""
    first, second = nlls(m, a), nlls(m, b)
    if first and second and first != second and per_slice(m, a | b):
        event = m.event("choice", node, a | b, first=first - second or first, second=second - first or second)
        return frozenset({m.label("pick", event.id)})
    return EMPTY


def least_of(m: Machine, node: ast.AST, val: Val) -> None:
    """``min(losses)``."""
    labels = m.deep(val)
    scored = sorted(nlls(m, labels))
    if len(scored) > 1 and per_slice(m, labels):
        m.event("choice", node, labels, first=frozenset(scored[:1]), second=frozenset(scored[1:]))


def branches(m: Machine, frame: Frame, node: ast.If, test: Val, ends: Sequence[dict[str, Val]]) -> None:
    """``if loss < best: best = loss``: what was kept by comparing scores, and what was chosen with it."""
    by = m.deep(test)
    late_by = _late(m, by)
    if len(ends) != 2 or not (late_by or nlls(m, by)):
        return
    stmts = {n: s for s in (*node.orelse, *node.body) for n in _stored_names(s)}
    kept, others = [], []
    for name, stmt in stmts.items():
        a, b = ends[0].get(name), ends[1].get(name)
        if a is None or b is None or a is b:
            continue
        la, lb = m.deep(a), m.deep(b)
        if late_by:
            late(m, late_by, la | lb)
        if (
            nlls(m, la)
            and nlls(m, lb)
            and nlls(m, la) != nlls(m, lb)
            and nlls(m, by) & nlls(m, la)
            and nlls(m, by) & nlls(m, lb)
        ):
            kept.append((stmt, la, lb, name))
        elif not nlls(m, la | lb):
            others.append((name, stmt))
    if not any(_compares_losses(m, frame, n) for n in ast.walk(node.test)):
        return
    kept += [(stmt, *parts, "") for stmt in (*node.body, *node.orelse) if (parts := _kept_element(m, frame, stmt, by))]
    for stmt, la, lb, name in kept:
        mark = choice(m, stmt, la, lb)
        if name and mark:
            frame.env[name] = frame.env[name].with_labels(mark)
    if kept:
        for name, stmt in others:
            frame.env[name] = tuned(m, stmt, by, frame.env[name])


def _compares_losses(m: Machine, frame: Frame, test: ast.AST) -> bool:
    from auditor.source.flow.expressions import evaluate

    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], _ORDER):
        return False
    return all(nlls(m, m.deep(evaluate(m, frame, side))) for side in (test.left, test.comparators[0]))


def _kept_element(m: Machine, frame: Frame, stmt: ast.stmt, by: Labels) -> tuple[Labels, Labels] | None:
    """``if new < old: losses[i] = new``: the new losses and the older ones."""
    from auditor.source.flow.expressions import evaluate

    if not isinstance(stmt, ast.Assign) or not isinstance(stmt.targets[0], ast.Subscript):
        return None
    new, held = m.deep(evaluate(m, frame, stmt.value)), m.deep(evaluate(m, frame, stmt.targets[0].value))
    sites = {m.events[m.labels[n].key[0]].site for n in nlls(m, new)}
    old = held - nlls(m, new)
    others = frozenset(n for n in nlls(m, old) if m.events[m.labels[n].key[0]].site not in sites)
    old = (old - nlls(m, old)) | others if others else old
    return (new, old) if nlls(m, new) & nlls(m, by) and nlls(m, old) & nlls(m, by) else None


def _stored_names(stmt: ast.stmt) -> list[str]:
    return [n.id for n in ast.walk(stmt) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def tuned(m: Machine, node: ast.AST, by: Labels, val: Val) -> Val:
    """``val`` was chosen by comparing validation scores."""
    if not m.has_origin(by, Origin.VAL):
        return val
    event = m.event("mix", node, by, variant=MixKind.TUNED_ON_SCORE, kind=MixKind.TUNED_ON_SCORE, scores=frozenset())
    return val.with_labels(frozenset({m.label("tune", event.id)}))


# -- what only selects --------------------------------------------------------------------------------------------


def stored(m: Machine, node: ast.AST, ops: Sequence[ast.cmpop], vals: Sequence[Val]) -> Labels:
    """``known == y``: a comparison of targets with a stored sequence; the mark of its outcome."""
    if len(vals) != 2 or not isinstance(ops[0], (ast.Eq, ast.NotEq)):
        return EMPTY
    deep = [m.deep(v) for v in vals]
    for mine, theirs, val in ((deep[0], deep[1], vals[1]), (deep[1], deep[0], vals[0])):
        if (
            not (m.has_origin(mine, Origin.VAL) and is_tokens(m, mine))
            or m.origins(theirs)
            or not m.of_kind(theirs, "ext")
        ):
            continue
        if val.deps & m.varies(mine):
            tokens = frozenset(m.of_kind(mine, "acc"))
            event = m.event("lookup", node, mine | theirs, variant="stored", tokens=tokens, hashed=EMPTY, why="stored")
            return frozenset({m.label("look", event.id)})
    return EMPTY


def _late(m: Machine, labels: Labels) -> Labels:
    """Look-ups among ``labels`` whose outcome selects."""
    return frozenset(n for n in m.of_kind(labels, "look") if m.events[m.labels[n].key[0]].data.get("why") == "stored")


def late(m: Machine, selecting: Labels, value: Labels) -> None:
    """Losses in ``value`` are selected by ``selecting``: they depend on its look-ups from now on."""
    marks = _late(m, selecting)
    if not marks:
        return
    for n in m.of_kind(value, "nll"):
        event = m.events[m.labels[n].key[0]]
        if not marks <= event.labels:
            event.labels = event.labels | marks
            m.acted()


def gated(m: Machine, inputs: Labels, targets: Labels) -> None:
    """A loss is computed: what its inputs took from fixed tables by the very target is a gate."""
    own = {m.labels[n].key[0] for n in m.of_kind(targets, "acc")}
    looks = m.of_kind(inputs, "look", "prop")
    if len(own) != 1 or not looks:
        return
    learned = frozenset().union(*(c.labels for c in m.par_cells(inputs)), EMPTY)
    for n in looks:
        event = m.events[m.labels[n].key[0]]
        sites = {m.labels[t].key[0] for t in event.data["tokens"]}
        if (
            n not in learned
            and len(sites) == 1
            and sites <= own
            and not m.of_kind(event.labels, "upd")
            and "why" not in event.data
        ):
            event.data["gate"] = True
            m.acted()


def gates(m: Machine, test: Val) -> Labels:
    """Look-ups of fixed tables by one token that decide a branch."""
    found = m.of_kind(m.deep(test), "look", "prop")
    return frozenset(n for n in found if not m.of_kind(m.events[m.labels[n].key[0]].labels, "upd"))
