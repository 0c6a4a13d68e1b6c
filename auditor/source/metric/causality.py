"""Can a later token reach an earlier score inside the model?

Each class that turns token ids into logits is walked from its forward methods on, with every tensor known by its axes
(`axes`): submodules, helpers and methods are entered, conditions decided by the settings in force, branches joined. A
value whose positions learned of later ones (a mean over the sequence spread back over it, attention without a causal
mask, a shift to the left) is reported when it arrives at the loss or at the returned logits: the trail is the proof.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace

from auditor.core.types import Confidence, PathStep
from auditor.source.metric.axes import UNKNOWN, B, Module, Parts, T, Tensor, Trail, Value
from auditor.source.metric.codeindex import Function, Index
from auditor.source.metric.forward_core import BudgetSpent
from auditor.source.metric.forward_walk import Forward
from auditor.source.metric.settings import Settings
from auditor.source.metric_facts import NonCausal, Reach

_TARGET = re.compile(r"(?:y|ys|tgt|targets?|labels?)(?:_|$)")


def analyse_causality(index: Index, settings: Settings) -> tuple[tuple[NonCausal, ...], tuple[str, ...]]:
    """All proven or suspected look-aheads of the models, and what could not be followed."""
    found: dict[tuple[str, int], NonCausal] = {}
    unread: list[str] = []
    denoising: bool | None = None
    walk = _Walk(index, settings)
    for name, method in _roots(index):
        try:
            for item in walk.root(name, method):
                denoising = _denoises(index) if denoising is None else denoising
                if denoising:
                    what = f"{item.what}; the model also fills in tokens that were masked at random"
                    item = replace(item, confidence=Confidence.MEDIUM, reach=Reach.UNKNOWN, what=what)
                key = (item.file, item.line)
                if key not in found or found[key].confidence is not Confidence.HIGH:
                    found[key] = item
        except (BudgetSpent, RecursionError):
            unread.append(f"{method.file}: the forward pass of {name} is too long to be followed to its end")
    return tuple(found.values()), tuple(unread)


def _roots(index: Index) -> list[tuple[str, Function]]:
    """Classes that embed token ids, with the methods that give logits or the loss."""
    used, scored = _constructed(index), _scored_calls(index)
    roots: list[tuple[str, Function]] = []
    for function in index.functions:
        cls = function.class_name
        if cls is None or function.node is None or cls not in used or len(function.params) < 2:
            continue
        if function.name != "forward" and function.name not in scored:
            continue
        if _embeds(index, cls) and _has_head(index, cls):
            roots.append((cls, function))
    return roots[:8]


_SCORING = frozenset({"cross_entropy", "log_softmax", "nll_loss", "logsumexp", "linear_cross_entropy"})


def _scored_calls(index: Index) -> set[str]:
    """Names of methods that are called where losses are computed (not those that only generate)."""
    names: set[str] = set()
    for function in index.functions:
        called = {n.func.attr for n in function.nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
        if called & _SCORING:
            names |= {name for name in called if "logits" in name or name.startswith("forward")}
    return names


def _denoises(index: Index) -> bool:
    """Whether token ids are replaced at random places (masked diffusion): attention in both directions may be meant.

    Seen by ``where(random < p, MASK, ids)`` or ``ids[random < p] = MASK``, through one local name.
    """
    for function in index.functions:
        bound = [
            (target.id, node.value)
            for node in function.nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        random = _closure(bound, lambda value: any(_draws(c) for c in ast.walk(value)))
        masks = {name for name, value in bound if _compares_random(value, random)}
        masks |= _spread(bound, masks) & random
        if any(_overwrites(node, random, masks) for node in function.nodes):
            return True
    return False


def _closure(bound: list[tuple[str, ast.expr]], first: Callable[[ast.expr], bool]) -> set[str]:
    """Names whose value passes ``first``, or mentions such a name."""
    return _spread(bound, {name for name, value in bound if first(value)})


def _spread(bound: list[tuple[str, ast.expr]], names: set[str]) -> set[str]:
    """``names`` and those whose value mentions one of them."""
    names = set(names)
    for _ in range(4):
        more = {n for n, value in bound if any(isinstance(c, ast.Name) and c.id in names for c in ast.walk(value))}
        if more <= names:
            break
        names |= more
    return names


def _overwrites(node: ast.AST, random: set[str], masks: set[str]) -> bool:
    """``where(mask, CONSTANT, ids)`` or ``ids[mask] = CONSTANT`` under a random mask."""
    constant = ast.Name | ast.Attribute | ast.Constant
    test: ast.expr | None = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 3:
        filled = isinstance(node.args[1], constant) or "full" in ast.unparse(node.args[1])
        test = node.args[0] if node.func.attr == "where" and filled else None
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
        test = node.args[0] if node.func.attr == "masked_fill" and isinstance(node.args[1], constant) else None
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        test = node.targets[0].slice if isinstance(node.value, constant) else None
    if test is None:
        return False
    return _compares_random(test, random) or any(isinstance(c, ast.Name) and c.id in masks for c in ast.walk(test))


def _draws(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"rand", "rand_like", "bernoulli", "uniform_"}
    )


def _compares_random(node: ast.expr, random: set[str]) -> bool:
    return any(isinstance(c, ast.Compare) for c in ast.walk(node)) and any(
        _draws(c) or (isinstance(c, ast.Name) and c.id in random) for c in ast.walk(node)
    )


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
        (
            isinstance(n, ast.Attribute)
            and ("cross_entropy" in n.attr or "logit" in n.attr or n.attr in {"lm_head", "head"})
        )
        or (isinstance(n, ast.Name) and "logits" in n.id)
        for n in ast.walk(body)
    )


class _Walk(Forward):
    """One root's walk."""

    def root(self, cls: str, method: Function) -> list[NonCausal]:
        """Walk ``method`` of ``cls`` with token ids as its first argument."""
        self._root = f"{cls}.{method.name}"
        self._steps, self._depth, self._losses = 0, 0, []
        names: dict[str, Value] = {"self": Module(cls)}
        names |= dict.fromkeys(method.params[1:], UNKNOWN)
        names[method.params[1]] = Tensor((B, T), is_input=True)
        for param in method.params[2:]:
            if _TARGET.match(param):
                names[param] = Tensor(
                    (B, T), shift=1, ahead=Trail((self.step_at(method.node or ast.Pass(), "the targets"),))
                )
        self._embedded = False
        value = self.enter(method, names, cls)
        if not self._embedded:
            return []
        ends = list(self._losses)
        place = PathStep(
            method.file, method.node.lineno if method.node else 1, f"{self._root} returns it as its result"
        )
        for part in value.items if isinstance(value, Parts) else (value,):
            if isinstance(part, Tensor):
                ends.append((part, None, place))
        return [item for tensor, target, end in ends for item in self._judge(tensor, target, end)]

    def _judge(self, tensor: Tensor, target: int | None, end: PathStep) -> list[NonCausal]:
        """``target``: how far ahead the tokens are that the loss compares with (None: not a loss, or not known)."""
        trail = tensor.mixed
        if trail is None and target is not None and tensor.shift is not None and tensor.shift >= target > 0:
            trail = tensor.ahead
        if trail is None:
            return []
        first = trail.steps[0]
        sure = trail.sure and tensor.dims is not None
        return [
            NonCausal(
                first.file,
                first.line,
                first.line,
                0,
                self._root,
                first.note,
                Confidence.HIGH if sure else Confidence.MEDIUM,
                (*trail.steps, end),
                Reach.USED if sure else Reach.UNKNOWN,
            )
        ]
