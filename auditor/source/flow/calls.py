"""Calls: user functions and classes are walked, models are run forward, library names are looked up."""

from __future__ import annotations

import ast
from typing import Any

from auditor.source.flow import memo
from auditor.source.flow.definitions import find_in_class, is_module_class, is_optimizer_class
from auditor.source.flow.iteration import generic, make_tuple, peek
from auditor.source.flow.machine import MAX_DEPTH, Frame, Machine
from auditor.source.flow.values import NOTHING, UNKNOWN, Obj, Val, join, union

Args = list[Val]
Kwargs = dict[str, Val]


def call(m: Machine, frame: Frame, node: ast.Call) -> Val:
    """Evaluate a call expression."""
    from auditor.source.flow.attributes import attribute
    from auditor.source.flow.expressions import evaluate
    from auditor.source.flow.library import call_library
    from auditor.source.flow.methods import call_method

    func = node.func
    outer, frame.node = frame.node, node
    try:
        if isinstance(func, ast.Attribute):
            owner = evaluate(m, frame, func.value)
            args, kwargs = _arguments(m, frame, node)
            if _has_user_attribute(owner, func.attr):
                return call_value(m, frame, node, attribute(m, frame, func, owner, func.attr), args, kwargs)
            libs = [o for o in owner.objs if o.kind in ("module", "builtin")]
            if libs:
                return call_library(m, frame, node, f"{libs[0].name}.{func.attr}", args, kwargs)
            return call_method(m, frame, node, owner, func.attr, args, kwargs)
        callee = evaluate(m, frame, func)
        args, kwargs = _arguments(m, frame, node)
        if isinstance(func, ast.Name) and func.id == "super":
            return _super(m, frame)
        return call_value(m, frame, node, callee, args, kwargs)
    finally:
        frame.node = outer


def _super(m: Machine, frame: Frame) -> Val:
    obj = m.new("super")
    obj.data = (frame.self_obj, frame.cls)
    return Val(objs=(obj,))


def _has_user_attribute(owner: Val, name: str) -> bool:
    for obj in owner.objs:
        if obj.kind == "instance" and (
            name in obj.attrs or (obj.cls is not None and find_in_class(obj.cls, name) is not None)
        ):
            return True
        if obj.kind == "class" and find_in_class(obj, name) is not None:
            return True
        if obj.kind in ("module", "function", "opaque") and name in obj.attrs:
            return True
    return False


def _arguments(m: Machine, frame: Frame, node: ast.Call) -> tuple[Args, Kwargs]:
    from auditor.source.flow.expressions import evaluate

    args: Args = []
    kwargs: Kwargs = {}
    for item in node.args:
        if isinstance(item, ast.Starred):
            args.extend(_expand(m, evaluate(m, frame, item.value)))
        else:
            args.append(evaluate(m, frame, item))
    for keyword in node.keywords:
        val = evaluate(m, frame, keyword.value)
        if keyword.arg is not None:
            kwargs[keyword.arg] = val
            continue
        for obj in val.objs:
            for key, item_val in (obj.items or {}).items():
                if isinstance(key, str):
                    kwargs[key] = item_val
            if obj.elem is not None:
                kwargs.setdefault("**", obj.elem)
    return args, kwargs


def _expand(m: Machine, val: Val) -> Args:
    for obj in val.objs:
        if obj.kind in ("tuple", "list") and obj.items is not None and obj.elem is None:
            return list(obj.items.values())
    return [peek(m, val)]


def call_value(m: Machine, frame: Frame, node: ast.AST, callee: Val, args: Args, kwargs: Kwargs) -> Val:
    """Call whatever ``callee`` may be; the join of the answers."""
    from auditor.source.flow.library import call_library

    result: Val | None = None
    for obj in callee.objs[-4:]:
        if obj.kind == "function":
            one = call_function(m, node, obj, args, kwargs)
        elif obj.kind == "method":
            one = call_function(m, node, obj.data[0], [Val(objs=(obj.data[1],)), *args], kwargs)
        elif obj.kind == "class":
            one = instantiate(m, node, obj, args, kwargs)
        elif obj.kind in ("builtin", "module"):
            one = call_library(m, frame, node, obj.name, args, kwargs)
        elif obj.kind == "instance":
            one = call_instance(m, frame, node, obj, args, kwargs)
        elif obj.kind == "partial":
            bound_args, bound_kwargs = obj.data
            one = call_value(m, frame, node, obj.elem or NOTHING, [*bound_args, *args], {**bound_kwargs, **kwargs})
        elif obj.kind == "derivative":
            from auditor.source.flow.derivatives import call_derivative

            one = call_derivative(m, frame, node, obj, args, kwargs)
        elif obj.kind == "opaque":
            one = call_opaque(m, frame, node, obj, args, kwargs)
        elif obj.kind == "bound":
            from auditor.source.flow.methods import call_method

            one = call_method(m, frame, node, obj.data[0], obj.data[1], args, kwargs)
        else:
            continue
        result = one if result is None else join(result, one)
    return generic(m, [callee, *args], kwargs) if result is None else result


def call_function(m: Machine, node: ast.AST, func: Obj, args: Args, kwargs: Kwargs) -> Val:
    """Walk a user function with these arguments; inside a model, a call that changed nothing is remembered."""
    if not m.forward_depth:
        return _walk_function(m, node, func, args, kwargs)
    inputs = [*args, *kwargs.values()]
    key = memo.key_of(m, func, inputs, tuple(kwargs))
    known = m.memo.get(key)
    if known is not None:
        return memo.replay(m, known, inputs)
    outside, m.oldest_change, before = m.oldest_change, 1 << 62, m.serial
    sets, deps = memo.labels_of_inputs(m, inputs)
    try:
        result = _walk_function(m, node, func, args, kwargs)
        if m.oldest_change > before and memo.can_remember(result):
            m.memo[key] = memo.Remembered(result, sets, deps, (func, *inputs))
    finally:
        m.oldest_change = min(outside, m.oldest_change)
    return result


def _walk_function(m: Machine, node: ast.AST, func: Obj, args: Args, kwargs: Kwargs) -> Val:
    from auditor.source.flow.statements import walk_block

    body, file, scope, closure, marks, qualname = func.data
    if len(m.frames) > MAX_DEPTH or sum(1 for f in m.frames if f.function == qualname and f.file == file) >= 2:
        return generic(m, args, kwargs)
    frame = Frame(qualname, file, {}, scope, closure, body)
    frame.cls = func.cls
    if args and func.cls is not None:
        frame.self_obj = next((o for o in args[0].objs if o.kind in ("instance", "class")), None)
    bind_arguments(m, frame, func, args, kwargs)
    generator = _is_generator(body)
    if generator:
        frame.yields = []
        frame.at_yield = m.bodies.pop(id(node), None)
    m.frames.append(frame)
    try:
        if isinstance(body, ast.Lambda):
            from auditor.source.flow.expressions import evaluate

            frame.result = evaluate(m, frame, body.body)
        else:
            walk_block(m, frame, body.body)
    finally:
        m.frames.pop()
    if generator:
        if any("contextmanager" in mark for mark in marks):
            return frame.yields[0] if frame.yields else NOTHING
        out = m.new("list")
        for val in frame.yields or []:
            out.elem = val if out.elem is None else join(out.elem, val)
        return Val(objs=(out,))
    return frame.result if frame.result is not None else Val(None)


def _is_generator(body: Any) -> bool:
    cached: bool | None = getattr(body, "_generator", None)
    if cached is None:
        cached = False
        stack: list[ast.AST] = list(ast.iter_child_nodes(body))
        while stack and not cached:
            item = stack.pop()
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
                continue
            cached = isinstance(item, (ast.Yield, ast.YieldFrom))
            stack.extend(ast.iter_child_nodes(item))
        body._generator = cached
    return cached


def bind_arguments(m: Machine, frame: Frame, func: Obj, args: Args, kwargs: Kwargs) -> None:
    """Bind parameters: positional, by name, defaults, ``*args`` and ``**kwargs``."""
    spec: ast.arguments = func.data[0].args
    defaults: dict[str, list[Val | None]] = func.items  # type: ignore[assignment]
    names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    env = frame.env
    for name, val in zip(names, args, strict=False):
        env[name] = val
    rest = args[len(names) :]
    if spec.vararg is not None:
        env[spec.vararg.arg] = make_tuple(m, rest)
    extra = m.new("dict")
    extra.items = {}
    known = {*names, *(a.arg for a in spec.kwonlyargs)}
    for key, val in kwargs.items():
        if key in known:
            env[key] = val
        else:
            extra.items[key] = val
    if spec.kwarg is not None:
        env[spec.kwarg.arg] = Val(objs=(extra,))
    fallback = dict(zip(names[len(names) - len(defaults["pos"]) :], defaults["pos"], strict=False))
    fallback.update({a.arg: d for a, d in zip(spec.kwonlyargs, defaults["kw"], strict=False)})
    spread = kwargs.get("**")
    for name in known:
        if name not in env:
            default = fallback.get(name)
            env[name] = spread if spread is not None else (default if default is not None else NOTHING)


def instantiate(m: Machine, node: ast.AST, cls: Obj, args: Args, kwargs: Kwargs) -> Val:
    """Make an instance of a user class and run its ``__init__``."""
    from auditor.source.flow.library import make_optimizer

    if is_optimizer_class(cls):
        return make_optimizer(m, cls.name, args, kwargs)
    obj = m.new("instance", cls.name)
    obj.cls = cls
    if is_module_class(cls):
        m.weights_of(obj)
    init = find_in_class(cls, "__init__")
    val = Val(objs=(obj,))
    if init is not None and init.objs and init.objs[0].kind == "function":
        call_function(m, node, init.objs[0], [val, *args], kwargs)
    else:
        _fields(m, obj, cls, args, kwargs)
    return val


def _fields(m: Machine, obj: Obj, cls: Obj, args: Args, kwargs: Kwargs) -> None:
    """Attributes of a dataclass or named tuple, by the order of its annotations."""
    names: list[str] = []
    for base in (*cls.data["bases"], cls):
        for stmt in base.data["node"].body:
            if isinstance(stmt, ast.AnnAssign) and isinstance(stmt.target, ast.Name) and stmt.target.id not in names:
                names.append(stmt.target.id)
    for name, val in zip(names, args, strict=False):
        obj.attrs[name] = val
    obj.attrs.update({k: v for k, v in kwargs.items() if k != "**"})
    for name in names:
        default = None if name in obj.attrs else find_in_class(cls, name)
        made = next((o for o in default.objs if o.kind == "field"), None) if default is not None else None
        if made is not None:
            obj.attrs[name] = (
                NOTHING if made.elem is None else call_value(m, m.frame, cls.data["node"], made.elem, [], {})
            )
    post = find_in_class(cls, "__post_init__")
    if post is not None and post.objs:
        call_function(m, cls.data["node"], post.objs[0], [Val(objs=(obj,))], {})


def call_instance(m: Machine, frame: Frame, node: ast.AST, obj: Obj, args: Args, kwargs: Kwargs) -> Val:
    """Call an instance: a model runs forward, anything else its ``__call__``."""

    name = "forward" if obj.weights is not None else "__call__"
    method = obj.attrs.get(name) or (find_in_class(obj.cls, name) if obj.cls is not None else None)
    if method is None or not method.objs:
        return _with_weights(m, obj, generic(m, args, kwargs))
    m.forward_depth += 1
    try:
        one: Val | None = None
        for func in method.objs:
            if func.kind == "function" and name not in obj.attrs:
                val = call_function(m, node, func, [Val(objs=(obj,)), *args], kwargs)
            else:
                val = call_value(m, frame, node, Val(objs=(func,)), args, kwargs)
            one = val if one is None else join(one, val)
    finally:
        m.forward_depth -= 1
    result = _with_weights(m, obj, one if one is not None else NOTHING)
    if m.forward_depth == 0:
        run_hooks(m, frame, node, obj, args, result)
    return result


def _with_weights(m: Machine, obj: Obj, val: Val) -> Val:
    if obj.weights is None:
        return val
    cell = obj.weights.root()
    return val.with_labels(cell.labels | {m.par(cell)})


def run_hooks(m: Machine, frame: Frame, node: ast.AST, obj: Obj, args: Args, result: Val) -> None:
    """Forward hooks, and functions in the place of layers' forward, see what flows through the model."""
    if m.in_hook or not (m.hooks or m.patches) or obj.weights is None:
        return
    labels, deps = union(args)
    for arg in args:
        labels = labels | m.deep(arg)
    inner = Val(UNKNOWN, labels | frozenset({m.par(obj.weights.root())}), deps)
    layer = Val(objs=(obj,))
    m.in_hook = True
    try:
        for hook in list(m.hooks):
            call_value(m, frame, node, hook, [layer, make_tuple(m, [inner]), inner], {})
        for patch, takes_layer in list(m.patches):
            call_value(m, frame, node, patch, [layer, inner] if takes_layer else [inner], {})
    finally:
        m.in_hook = False


def call_opaque(m: Machine, frame: Frame, node: ast.AST, obj: Obj, args: Args, kwargs: Kwargs) -> Val:
    """Call an object of unknown class, such as a library's layer."""

    if obj.name in ("torch.nn.Sequential", "torch.nn.ModuleList") and obj.elem is not None:
        return call_value(m, frame, node, obj.elem, args, kwargs)
    val = generic(m, args, kwargs)
    if obj.weights is not None:
        val = _with_weights(m, obj, val)
        if m.forward_depth == 0:
            run_hooks(m, frame, node, obj, args, val)
        return val
    return val.with_labels(m.deep_obj(obj))
