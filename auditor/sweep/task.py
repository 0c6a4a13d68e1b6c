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
    documented = [(inner, inner.body) for inner in ast.walk(node) if isinstance(inner, _WITH_DOCSTRING)]
    try:
        for inner, body in documented:
            inner.body = _undocumented(body) or [ast.Pass()]
        return ast.dump(node, annotate_fields=False)
    finally:
        for inner, body in documented:
            inner.body = body


def _parts(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods by name; every other statement without one, and the head of each class."""
    for statement in _undocumented(body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{statement.name}", statement
        elif isinstance(statement, ast.ClassDef):
            head = ast.Tuple([*statement.bases, *statement.decorator_list, *(k.value for k in statement.keywords)])
            yield "", ast.Module([ast.Expr(ast.Constant(f"{prefix}{statement.name}")), ast.Expr(head)], [])
            yield from _parts(statement.body, f"{prefix}{statement.name}.")
        else:
            yield "", statement


_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _undocumented(body: list[ast.stmt]) -> list[ast.stmt]:
    """``body`` without a docstring."""
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    return body[1:] if isinstance(first, ast.Constant) and isinstance(first.value, str) else body


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
