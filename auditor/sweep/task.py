"""The audit of one submission folder, in a process of its own; and the normal form that tells programs apart."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from auditor.core.submission import Submission
from auditor.core.syntax import parse_python
from auditor.engine import Options, audit_submission
from auditor.intake.load import load_found
from auditor.report.json import document
from auditor.sweep.types import Opened

MAX_NUMBER = 1e12
DIGEST = 16
"""Characters of a digest in the store: 64 bits."""


def audited(opened: Opened, path: str, options: Options) -> dict[str, Any]:
    """``{"report": the JSON document, "facts": ...}`` of the folder, named ``path`` in the report."""
    submission = load_found(opened.found)
    submission = replace(submission, problems=(*submission.problems, *opened.problems))
    report = audit_submission(submission, options)
    report = replace(report, submission=replace(report.submission, path=path))
    return {"report": document(report), "facts": facts_of(submission)}


def facts_of(submission: Submission) -> dict[str, Any]:
    """``program``, ``functions`` of the entry script (decoded), and what ``submission.json`` says of itself."""
    found: dict[str, Any] = {"program": "", "functions": {}, "stated": {}}
    data = submission.metadata.data if submission.metadata else None
    for key in ("name", "author", "github_id", "date", "val_bpb"):
        value = (data or {}).get(key)
        if isinstance(value, str):
            found["stated"][key] = value[:200]
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER:
            found["stated"][key] = value
    if submission.entry is None:
        return found
    tree = parse_python(submission.entry.text).tree
    if tree is not None:
        found["functions"] = functions(tree)
        whole = "\0".join(f"{name} {digest}" for name, (digest, _) in found["functions"].items())
        found["program"] = _digest(whole)
    return found


def functions(tree: ast.Module) -> dict[str, tuple[str, int]]:
    """Qualified name -> (digest of the normal form, its length) of each function; ``<module>`` is what is left.

    The normal form is the syntax tree without positions, comments, formatting and docstrings. Nested functions belong
    to the one around them; methods stand alone, and what is left of their class belongs to ``<module>``.
    """
    found: dict[str, tuple[str, int]] = {}
    left: list[str] = []
    for name, node in _parts(tree.body, ""):
        text = normal_form(node)
        if not name:
            left.append(text)
            continue
        while name in found:
            name += "'"
        found[name] = (_digest(text), len(text))
    rest = "\0".join(left)
    return {"<module>": (_digest(rest), len(rest)), **found}


def normal_form(node: ast.AST) -> str:
    """A text that is equal for two trees when they differ in comments, formatting and docstrings alone."""
    docstrings = {id(d): d for inner in ast.walk(node) if (d := _docstring(inner)) is not None}
    if not docstrings:
        return ast.dump(node, annotate_fields=False)
    before = {key: statement.value for key, statement in docstrings.items()}
    try:
        for statement in docstrings.values():
            statement.value = ast.Constant("")
        return ast.dump(node, annotate_fields=False)
    finally:
        for key, statement in docstrings.items():
            statement.value = before[key]


def _parts(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods by name; every other statement without one, and the head of each class."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{statement.name}", statement
        elif isinstance(statement, ast.ClassDef):
            head = ast.Tuple([*statement.bases, *statement.decorator_list, *(k.value for k in statement.keywords)])
            yield "", ast.Module([ast.Expr(ast.Constant(f"{prefix}{statement.name}")), ast.Expr(head)], [])
            yield from _parts(statement.body, f"{prefix}{statement.name}.")
        else:
            yield "", statement if _docstring_of([statement]) is None else ast.Pass()


def _docstring(node: ast.AST) -> ast.Expr | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
        return _docstring_of(node.body)
    return None


def _docstring_of(body: list[ast.stmt]) -> ast.Expr | None:
    """A string that stands alone at the beginning of ``body``."""
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
