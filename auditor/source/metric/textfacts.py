"""Smaller facts: lossy text normalisation, scaled losses, byte side files, gates that smear across documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from auditor.core.submission import Submission
from auditor.source.metric.codeindex import Function, Index
from auditor.source.metric.labelflow import Label, LabelFlow
from auditor.source.metric.settings import Settings
from auditor.source.metric_facts import LossyText, Reach, ScaledLoss, SidecarUse, SmearGate

_ENCODE = frozenset({"encode", "Encode", "EncodeAsIds", "encode_as_ids", "encode_batch", "tokenize", "encode_ordinary"})
_LOSSY_WORD = re.compile(r"case[-_]?fold|lower[-_]?case", re.I)
_Bound = dict[str, list[ast.expr]]
"""Local names with all that is assigned to them."""
_SIDE = "side"
_LOSS = "loss"


# -- lossy normalisation


def analyse_lossy(submission: Submission, index: Index) -> tuple[LossyText, ...]:
    """Text that is folded before it is tokenized, trainers told to fold, and data sets named after it."""
    found: list[LossyText] = []
    flow = LabelFlow(index)
    if _seed_lossy(flow, index):
        flow.propagate()
    for function in index.functions:
        for node in function.nodes:
            if isinstance(node, ast.Call):
                found += _lossy_call(flow, function, node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += _lossy_name(function.file, node, node.value)
    found += _lossy_readme(submission)
    seen: dict[tuple[str, str], LossyText] = {}
    for item in found:
        seen.setdefault((item.file, item.what if item.call == "name" else f"{item.line}"), item)
    return tuple(seen.values())[:20]


def _seed_lossy(flow: LabelFlow, index: Index) -> bool:
    seeded = False
    for function in index.functions:
        for node in function.nodes:
            if isinstance(node, ast.Assign) and any(_folds(c) for c in ast.walk(node.value)):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        flow.seed(function, target.id, Label("lossy", 0))
                        seeded = True
            elif isinstance(node, ast.Return) and node.value and any(_folds(c) for c in ast.walk(node.value)):
                flow.seed_return(function, -1, Label("lossy", 0))
                seeded = True
    return seeded


def _folds(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in {"casefold", "lower"}:
        return not node.args
    return (
        name == "normalize"
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).upper() in {"NFKC", "NFKD"}
    )


def _lossy_call(flow: LabelFlow, function: Function, node: ast.Call) -> list[LossyText]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in _ENCODE and node.args and not _is_codec(node):
        folded = any(_folds(c) for c in ast.walk(node.args[0]))
        if folded or any(label.role == "lossy" for label in flow.labels(node.args[0], function)):
            what = "folded text is tokenized: the original bytes cannot be had back from the ids"
            return [LossyText(function.file, node.lineno, "encode", what)]
    for keyword in node.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg == "normalization_rule_name" and isinstance(value, str) and value.endswith("_cf"):
            return [LossyText(function.file, node.lineno, "trainer", f"the tokenizer is trained with {value}")]
    return []


def _is_codec(node: ast.Call) -> bool:
    """``text.encode("utf-8")`` makes bytes, not token ids."""
    first = node.args[0]
    return isinstance(first, ast.Constant) and isinstance(first.value, str) and len(node.args) <= 2


def _lossy_name(file: str, node: ast.Constant, text: str) -> list[LossyText]:
    looks = len(text) < 160 and "\n" not in text and re.search(r"[/_.]", text) and " " not in text
    match = _LOSSY_WORD.search(text) if looks else None
    if match is None:
        return []
    return [LossyText(file, node.lineno, "name", f"the data or tokenizer is named {text!r}")]


def _lossy_readme(submission: Submission) -> list[LossyText]:
    """The README says that the text or tokenizer is folded (its first such line)."""
    for number, line in enumerate((submission.readme or "").splitlines(), 1):
        match = re.search(r"case-?fold(?:ed|ing)?\b|lower-?cased? (?:text|tokeni|vocab|data)", line, re.I)
        if match:
            return [
                LossyText(submission.readme_path or "README.md", number, "name", f"the README says {match.group()!r}")
            ]
    return []


# -- scaled losses


def analyse_scaling(index: Index, settings: Settings) -> tuple[ScaledLoss, ...]:
    """Scored losses that are multiplied by a constant near one, outside functions that train."""
    flow = LabelFlow(index)
    seeded = False
    for function in index.functions:
        for node in function.nodes:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(node, ast.Assign) and isinstance(target, ast.Name) and _takes_loss(node.value):
                flow.seed(function, target.id, Label(_LOSS, 0))
                seeded = True
    if not seeded:
        return ()
    flow.propagate()
    found: list[ScaledLoss] = []
    for function in index.functions:
        if not _reports_bits(function):
            continue
        for node, factor_node in _products(flow, function):
            worth = settings.worth(factor_node, function)
            value = worth.value
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if worth.known and number and 0.9 <= value <= 1.1 and value != 1:
                found.append(ScaledLoss(function.file, node.lineno, ast.unparse(node)[:100], float(value)))
    return tuple({(f.file, f.line): f for f in found}.values())


def _takes_loss(node: ast.expr) -> bool:
    return any(isinstance(c, ast.Call) and _is_loss(c) for c in ast.walk(node))


def _is_loss(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {"cross_entropy", "nll_loss"}


def _reports_bits(function: Function) -> bool:
    """Whether the function adds losses up for a score: it takes no gradient."""
    words = {n.id for n in function.nodes if isinstance(n, ast.Name)} | {
        n.attr for n in function.nodes if isinstance(n, ast.Attribute)
    }
    return bool({"inference_mode", "no_grad", "eval"} & words)


def _products(flow: LabelFlow, function: Function) -> Iterator[tuple[ast.stmt | ast.expr, ast.expr]]:
    for node in function.nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for loss, factor in ((node.left, node.right), (node.right, node.left)):
                plain = isinstance(factor, ast.Name | ast.Attribute | ast.Constant)
                if plain and _has(flow, loss, function) and not _has(flow, factor, function):
                    yield node, factor
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult):
            plain = isinstance(node.value, ast.Name | ast.Attribute | ast.Constant)
            if plain and _has(flow, node.target, function):
                yield node, node.value


def _has(flow: LabelFlow, node: ast.expr, function: Function) -> bool:
    return any(label.role == _LOSS for label in flow.labels(node, function))


# -- byte side files


def analyse_sidecar(index: Index, settings: Settings) -> tuple[SidecarUse, ...]:
    """Where per-token byte counts from a side file are read instead of the table."""
    flow = LabelFlow(index)
    seeded = False
    for function in index.functions:
        for node in function.nodes:
            if isinstance(node, ast.Assign) and any(_names_sidecar(c) for c in ast.walk(node.value)):
                for target in node.targets:
                    name = target.id if isinstance(target, ast.Name) else None
                    if isinstance(target, ast.Attribute):
                        name = "." + target.attr
                    if name:
                        flow.seed(function, name, Label(_SIDE, 0))
                        if name == target.id if isinstance(target, ast.Name) else False:
                            flow.seed(function, "." + str(name), Label(_SIDE, 0))
                        seeded = True
    if not seeded:
        return ()
    flow.propagate()
    found: dict[tuple[str, int], SidecarUse] = {}
    for function in index.functions:
        for node in function.nodes:
            if isinstance(node, ast.Assign | ast.AugAssign) and _indexes_side(flow, node.value, function):
                guard = enclosing_test(function, node)
                reach, why = reach_of(guard, function, settings)
                text = ast.unparse(guard) if guard is not None else ""
                found[(function.file, node.lineno)] = SidecarUse(function.file, node.lineno, text, reach, why)
    return tuple(found.values())[:8]


def _names_sidecar(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and "val_bytes" in node.value
        and "*" in node.value
    )


def _indexes_side(flow: LabelFlow, node: ast.expr, function: Function) -> bool:
    for child in ast.walk(node):
        if isinstance(child, ast.Subscript) and any(x.role == _SIDE for x in flow.labels(child.value, function)):
            return True
    return False


# -- guards


def enclosing_test(function: Function, node: ast.AST) -> ast.expr | None:
    """The innermost ``if`` test whose body (not whose else) holds ``node``."""
    line = getattr(node, "lineno", 0)
    holding = [
        other
        for other in function.nodes
        if isinstance(other, ast.If)
        and other.body[0].lineno <= line <= (other.body[-1].end_lineno or 0)
        and any(child is node for statement in other.body for child in ast.walk(statement))
    ]
    return max(holding, key=lambda other: other.lineno).test if holding else None


def reach_of(test: ast.expr | None, function: Function, settings: Settings) -> tuple[Reach, str]:
    """Whether code under ``test`` runs, by the settings in force."""
    if test is None:
        return Reach.UNKNOWN, "not under any condition of its function"
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    worths = [settings.worth(part, function) for part in parts]
    for worth in worths:
        if worth.known and not worth.value:
            return Reach.OFF, worth.why
    if all(worth.known for worth in worths):
        return Reach.USED, worths[0].why
    return Reach.UNKNOWN, f"{ast.unparse(test)[:80]} is not known"


# -- smear gates


def analyse_smear(index: Index, settings: Settings) -> tuple[SmearGate, ...]:
    """Activations that take in a gated share of the position before."""
    found: list[SmearGate] = []
    for function in index.functions:
        if function.node is None or not any(_previous(n) for n in function.nodes):
            continue
        bound: _Bound = {}
        for n in function.nodes:
            if isinstance(n, ast.Assign):
                for t in n.targets:
                    if isinstance(t, ast.Name):
                        bound.setdefault(t.id, []).append(n.value)
        for node in function.nodes:
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _smears(node, bound):
                reach, why = reach_of(enclosing_test(function, node), function, settings)
                found.append(SmearGate(function.file, node.lineno, function.qualname, _masked(node, bound), reach, why))
    return tuple({(s.file, s.line): s for s in found}.values())


def _previous(node: ast.AST) -> bool:
    """``x[:, :-1]`` (more axes may follow)."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) < 2:
        return False
    part = node.slice.elts[1]
    return (
        isinstance(part, ast.Slice)
        and part.lower is None
        and isinstance(part.upper, ast.UnaryOp)
        and isinstance(part.upper.operand, ast.Constant)
        and part.upper.operand.value == 1
    )


def _smears(node: ast.BinOp, bound: _Bound) -> bool:
    """``a + gate * previous``, where the gate comes from a sigmoid or tanh and no hash is made of it."""
    for side in (node.left, node.right):
        if not (isinstance(side, ast.BinOp) and isinstance(side.op, ast.Mult)):
            continue
        factors = _factors(side)
        previous = [
            f
            for f in factors
            if _previous(f) or (any(_previous(n) for n in _reaching(f, bound, 2)) and not _gate(f, bound))
        ]
        gates = [f for f in factors if f not in previous and _gate(f, bound)]
        if previous and gates and not any(isinstance(n, ast.Mod | ast.BitXor) for n in _reaching(node, bound, 2)):
            return True
    return False


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _factors(node.left) + _factors(node.right)
    return [node]


def _gate(node: ast.expr, bound: _Bound) -> bool:
    return any(
        isinstance(n, ast.Call)
        and (n.func.attr if isinstance(n.func, ast.Attribute) else getattr(n.func, "id", ""))
        in {"sigmoid", "tanh", "hardsigmoid"}
        for n in _reaching(node, bound, 3)
    )


def _masked(node: ast.expr, bound: _Bound) -> bool:
    """A comparison (with the id that starts documents) takes part in the sum."""
    return any(isinstance(n, ast.Compare) for n in _reaching(node, bound, 4))


def _reaching(node: ast.expr, bound: _Bound, depth: int) -> Iterator[ast.AST]:
    """The nodes of ``node`` and, through local names, of what it is made of."""
    for child in ast.walk(node):
        yield child
        if depth and isinstance(child, ast.Name):
            for value in bound.get(child.id, [])[:4]:
                if value is not node:
                    yield from _reaching(value, bound, depth - 1)
