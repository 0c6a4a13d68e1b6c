"""Where a script looks for its data: environment settings, defaults and string constants."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Mapping

from auditor.behaviour.scale.evaluate import Scope, worth
from auditor.behaviour.scale.model import RUN
from auditor.behaviour.scale.sites import Site
from auditor.behaviour.toyworld.layout import Places

PATH_NAME = re.compile(r"(?:^|_)(?:path|dir|root|file|folder|glob|files|pattern|home)s?$")
_DATASET = re.compile(r"fineweb[\w.\-]*(?:sp|byte|bpe|gpt2|caseops)[\w.\-]*$|datasets/[\w.\-]+$", re.I)

_FILES = (".py", ".json", ".bin", ".txt", ".md", ".pt", ".model", ".vocab")


def path_env(sites: Iterable[Site], launch: Mapping[str, str]) -> dict[str, str]:
    """Values for the path variables: absolute ones are moved below the guest's own folder, relative ones stay."""
    moved: dict[str, str] = {}
    for site in sites:
        if site.how != "env" or not PATH_NAME.search(site.words):
            continue
        value = launch.get(site.name, site.value)
        if isinstance(value, str) and (value.startswith(("/", "~", "$")) or ".." in value):
            moved[site.name] = _inside(value)
    return moved


def _inside(path: str) -> str:
    """``path`` below `RUN`, keeping its last folders where they say what it is."""
    match = re.search(r"(?:^|/)(data(?:/.*)?)$", path) or re.search(r"(?:^|/)((?:datasets|tokenizers)/.*)$", path)
    if match:
        tail = match.group(1)
        return f"{RUN}/{tail if tail.startswith('data') and not tail.startswith('datasets') else 'data/' + tail}"
    name = posixpath.basename(path.rstrip("/")) or "data"
    kind = "tokenizers" if name.endswith((".model", ".vocab")) else "datasets" if "fineweb" in name else ""
    return f"{RUN}/data/{kind}/{name}" if kind else f"{RUN}/{name}"


def places_of(trees: Iterable[ast.Module], scope: Scope, vocab: int) -> Places:
    """All folders of shards and tokenizer models that the sources name under the launch settings."""
    folders: dict[str, None] = {}
    models: dict[str, None] = {}
    sides: dict[str, None] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Constant, ast.JoinedStr, ast.Call, ast.BinOp)):
                continue
            value = _path(node, scope)
            if value is None or len(value) > 300 or "\n" in value or " " in value.strip():
                continue
            _sort(value, folders, models, sides)
    return Places(tuple(folders), tuple(models), tuple(sides))


def _path(node: ast.expr, scope: Scope) -> str | None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _path(node.left, scope), _path(node.right, scope)
        return f"{left.rstrip('/')}/{right}" if left is not None and right is not None else None
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Path" and node.args:
        return _path(node.args[0], scope)
    value = worth(node, scope)
    return value if isinstance(value, str) else None


def is_tokenizer(path: str) -> bool:
    """Whether ``path`` names a file that the toy world can lay out for a tokenizer: a model, or what lies beside it."""
    if path.endswith((".meta.npz", ".model")) and "/" in path:
        return True
    return path.endswith((".npz", ".vocab")) and "tokenizer" in path.rpartition("/")[0]


def _sort(value: str, folders: dict[str, None], models: dict[str, None], sides: dict[str, None]) -> None:
    plain = value.removeprefix("./")
    if is_tokenizer(plain):
        models[plain] = None
    elif "fineweb_val_bytes" in plain and "/" in plain:
        sides[posixpath.dirname(plain)] = None
    elif re.search(r"fineweb_(?:train|val)_[\w*?.]*$", plain) and "/" in plain:
        folders[posixpath.dirname(plain)] = None
    elif _DATASET.search(plain) and not plain.endswith(_FILES):
        folders[plain.rstrip("/")] = None
