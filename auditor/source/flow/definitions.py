"""Functions, classes, imports, and the record of code that flags switch off."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, NOTHING, Obj, Val

Walk = Callable[[Machine, Frame, Sequence[ast.stmt]], Any]
_MODULE_BASES = (
    "Module",
    "ModuleList",
    "Sequential",
    "ModuleDict",
    "ParameterList",
    "Linear",
    "Embedding",
    "LayerNorm",
    "Conv1d",
)


def define_function(m: Machine, frame: Frame, node: Any) -> Val:
    """Bind a function (or make a lambda's value); the user's decorators are called, a library's only mark it."""
    obj = m.new("function", getattr(node, "name", "<lambda>"))
    scopes = () if frame.env is frame.globals else (frame.env, *frame.closure)
    marks = [ast.unparse(d) for d in getattr(node, "decorator_list", [])]
    obj.data = (node, frame.file, frame.globals, scopes, marks, _qualname(frame, obj.name))
    obj.cls = frame.cls
    args = node.args
    from auditor.source.flow.expressions import evaluate  # the two modules call each other

    defaults = [evaluate(m, frame, d) for d in args.defaults]
    kw_defaults = [None if d is None else evaluate(m, frame, d) for d in args.kw_defaults]
    obj.attrs["%defaults"] = Val((), objs=())
    obj.items = {"pos": defaults, "kw": kw_defaults}  # type: ignore[dict-item]
    val = Val(objs=(obj,))
    for decorator in reversed(getattr(node, "decorator_list", [])):
        val = _decorated(m, frame, decorator, val)
    if hasattr(node, "name"):
        scope = frame.cls.attrs if frame.cls is not None and frame.function.endswith(frame.cls.name) else frame.env
        scope[node.name] = val
    return val


def _decorated(m: Machine, frame: Frame, decorator: ast.expr, val: Val) -> Val:
    """What a decorator makes of a function, when it is the user's own; else the function."""
    from auditor.source.flow.calls import call_value
    from auditor.source.flow.expressions import evaluate

    maker = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not all(o.kind in ("function", "method") for o in evaluate(m, frame, maker).objs):
        return val
    outer = evaluate(m, frame, decorator)
    if not outer.objs:
        return val
    made = call_value(m, frame, decorator, outer, [val], {})
    return made if any(o.kind in ("function", "method", "partial") for o in made.objs) else val


def _qualname(frame: Frame, name: str) -> str:
    if frame.function == "<module>":
        return name
    return f"{frame.function}.{name}"


def define_class(m: Machine, frame: Frame, node: ast.ClassDef, walk: Walk) -> None:
    """Walk a class body; its attributes live on the class object."""
    from auditor.source.flow.expressions import evaluate

    obj = m.new("class", node.name)
    bases = [evaluate(m, frame, b) for b in node.bases]
    names = [ast.unparse(b) for b in node.bases]
    obj.data = {
        "node": node,
        "file": frame.file,
        "bases": [o for b in bases for o in b.objs if o.kind == "class"],
        "names": names,
        "marks": [ast.unparse(d) for d in node.decorator_list],
    }
    inner = Frame(_qualname(frame, node.name), frame.file, obj.attrs, frame.globals, (frame.env, *frame.closure), node)
    inner.cls = obj
    frame.env[node.name] = Val(objs=(obj,))
    m.frames.append(inner)
    try:
        walk(m, inner, node.body)
    finally:
        m.frames.pop()
    for name, setting in m.launch.logged.items():
        if name in obj.attrs and obj.attrs[name].text == "%env":
            obj.attrs[name] = Val(_literal(setting.value), EMPTY, EMPTY, (), "%env")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def is_module_class(obj: Obj) -> bool:
    """Whether a class derives from ``torch.nn.Module`` as far as its bases are known."""
    names = obj.data["names"]
    if any(n.rpartition(".")[2] in _MODULE_BASES for n in names):
        return True
    return any(is_module_class(b) for b in obj.data["bases"])


def is_optimizer_class(obj: Obj) -> bool:
    """Whether a class derives from an optimizer."""
    names = [n.rpartition(".")[2] for n in obj.data["names"]]
    if any(n == "Optimizer" or n in ("SGD", "Adam", "AdamW") for n in names):
        return True
    return any(is_optimizer_class(b) for b in obj.data["bases"])


def find_in_class(obj: Obj, name: str, depth: int = 0) -> Val | None:
    """Look an attribute up along the bases."""
    if name in obj.attrs:
        return obj.attrs[name]
    if depth > 8:
        return None
    for base in obj.data["bases"]:
        found = find_in_class(base, name, depth + 1)
        if found is not None:
            return found
    return None


def import_module(m: Machine, frame: Frame, name: str, alias: str | None) -> None:
    """Bind ``import a.b as c``: a sibling module's object, or the canonical name of a library."""
    if alias is None:
        root = name.partition(".")[0]
        frame.env[root] = module_value(m, root)
        if "." in name and name in m.module_sources:
            module_value(m, name)
        return
    frame.env[alias] = module_value(m, name)


def module_value(m: Machine, name: str) -> Val:
    """The module object of that name; a module shipped beside the entry is walked on first import."""
    obj = m.modules.get(name)
    if obj is None:
        obj = m.new("module", name)
        m.modules[name] = obj
        if name in m.module_sources:
            _walk_module(m, obj, name)
    return Val(objs=(obj,))


def _walk_module(m: Machine, obj: Obj, name: str) -> None:
    from auditor.source.flow.statements import walk_block

    file, tree = m.module_sources[name]
    frame = Frame("<module>", file, obj.attrs, obj.attrs, (), tree)
    obj.attrs["__name__"] = Val(name)
    obj.attrs["__file__"] = Val(file)
    m.frames.append(frame)
    loops, m.loops = m.loops, []
    try:
        walk_block(m, frame, tree.body)
    finally:
        m.loops = loops
        m.frames.pop()


def import_from(m: Machine, frame: Frame, node: ast.ImportFrom) -> None:
    """Bind ``from a import b as c``."""
    base = node.module or ""
    for alias in node.names:
        full = f"{base}.{alias.name}" if base else alias.name
        if base in m.module_sources:
            module = module_value(m, base).objs[0]
            if alias.name == "*":
                frame.env.update({k: v for k, v in module.attrs.items() if not k.startswith("_")})
                continue
            frame.env[alias.asname or alias.name] = module.attrs.get(alias.name, NOTHING)
        elif full in m.module_sources or (node.level and alias.name in m.module_sources):
            frame.env[alias.asname or alias.name] = module_value(m, full if full in m.module_sources else alias.name)
        elif alias.name != "*":
            frame.env[alias.asname or alias.name] = Val(objs=(library_name(m, full),))


def library_name(m: Machine, full: str) -> Obj:
    """The object that stands for a library's function, class or submodule, by its canonical dotted name."""
    key = f"%{full}"
    obj = m.modules.get(key)
    if obj is None:
        obj = m.new("builtin", full)
        m.modules[key] = obj
    return obj
