"""Several modules of this package as the text of one: no imports between them, names kept unless taken already.

A name that two modules define gets, in the later one, its module's name behind it. Only what is reached from the
roots is kept (`shake`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from typing import TypeGuard

import libcst as cst
from libcst.metadata import GlobalScope, MetadataWrapper, ScopeProvider

PACKAGE = "reference_model"


class ExportError(ValueError):
    """A module or preset that cannot be exported; the message is one sentence."""


@dataclass(slots=True)
class Module:
    """One module of the package, parsed, with the names that it takes from others."""

    name: str
    """Dotted, without the package: ``evaluation.ttt``."""
    wrapper: MetadataWrapper
    needs: list[str] = field(default_factory=list)
    """Modules that must come before it."""
    taken: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name to (module, name there); the name is empty where the module itself was imported."""

    @property
    def tree(self) -> cst.Module:
        """The syntax tree."""
        return self.wrapper.module

    @property
    def stem(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]


def read_module(name: str) -> Module:
    """The module ``name`` (without the package) with its imports understood. Raises `ExportError`."""
    *folders, stem = name.split(".")
    path = resources.files(PACKAGE).joinpath(*folders, f"{stem}.py")
    if not path.is_file():
        raise ExportError(f"there is no module {PACKAGE}.{name}")
    module = Module(name, MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8"))))
    for statement, always in _imports(module.tree):
        for source in _understand(module, statement):
            if always and source not in module.needs:
                module.needs.append(source)
    return module


def _imports(tree: cst.Module) -> Iterable[tuple[cst.ImportFrom, bool]]:
    """Imports from this package at the top, and whether they are carried out (not only when types are checked)."""
    for statement in tree.body:
        if isinstance(statement, cst.SimpleStatementLine):
            yield from ((part, True) for part in statement.body if is_own(part) and isinstance(part, cst.ImportFrom))
        elif is_type_checking(statement):
            for line in statement.body.body:
                if isinstance(line, cst.SimpleStatementLine):
                    yield from ((p, False) for p in line.body if is_own(p) and isinstance(p, cst.ImportFrom))


def is_type_checking(statement: cst.CSTNode) -> TypeGuard[cst.If]:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    if not isinstance(statement, cst.If) or not isinstance(statement.test, cst.Name):
        return False
    return statement.test.value == "TYPE_CHECKING"


def is_own(statement: cst.CSTNode) -> bool:
    """Whether a statement imports from this package."""
    if isinstance(statement, cst.Import):
        return any(_dotted(alias.name).split(".")[0] == PACKAGE for alias in statement.names)
    return isinstance(statement, cst.ImportFrom) and (
        bool(statement.relative) or _dotted(statement.module).split(".")[0] == PACKAGE
    )


def _dotted(node: cst.BaseExpression | None) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


def _understand(module: Module, statement: cst.ImportFrom) -> list[str]:
    """Note what an import takes; the modules that it needs."""
    source = _dotted(statement.module)
    if statement.relative:
        base = module.name.split(".")[: -len(statement.relative)]
        source = ".".join([*base, *([source] if source else [])])
    else:
        source = source.removeprefix(PACKAGE).lstrip(".")
    if isinstance(statement.names, cst.ImportStar):
        raise ExportError(f"{module.name} imports everything from {source}")
    needed: list[str] = []
    for alias in statement.names:
        name = _dotted(alias.name)
        local = alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else name
        inner = f"{source}.{name}".lstrip(".")
        is_module = _exists(inner)
        module.taken[local] = (inner, "") if is_module else (source, name)
        needed.append(inner if is_module else source)
    return needed


def _exists(name: str) -> bool:
    *folders, stem = name.split(".")
    return resources.files(PACKAGE).joinpath(*folders, f"{stem}.py").is_file()


def ordered(roots: Iterable[str]) -> list[Module]:
    """``roots`` and all that they need, what is needed first. Raises `ExportError` on a circle."""
    done: dict[str, Module] = {}
    under_way: set[str] = set()

    def visit(name: str) -> None:
        if name in done:
            return
        if name in under_way:
            raise ExportError(f"{name} needs itself")
        under_way.add(name)
        module = read_module(name)
        for needed in module.needs:
            visit(needed)
        done[name] = module

    for root in roots:
        visit(root)
    return list(done.values())


def defined(tree: cst.Module) -> list[str]:
    """Names that a module's top level defines, in order."""
    names: dict[str, None] = {}
    for statement in tree.body:
        for name in defines(statement):
            names[name] = None
    return list(names)


def defines(statement: cst.CSTNode) -> list[str]:
    """Names that a statement of the top level defines."""
    if isinstance(statement, cst.FunctionDef | cst.ClassDef):
        return [statement.name.value]
    if not isinstance(statement, cst.SimpleStatementLine):
        return []
    names: list[str] = []
    for part in statement.body:
        targets = [t.target for t in part.targets] if isinstance(part, cst.Assign) else []
        targets += [part.target] if isinstance(part, cst.AnnAssign) else []
        for target in targets:
            elements = [e.value for e in target.elements] if isinstance(target, cst.Tuple) else [target]
            names += [e.value for e in elements if isinstance(e, cst.Name)]
    return names


def final_names(modules: Iterable[Module]) -> dict[tuple[str, str], str]:
    """(module, name) to the name in the one file."""
    taken: set[str] = set()
    final: dict[tuple[str, str], str] = {}
    for module in modules:
        for name in defined(module.tree):
            own = name if name not in taken else f"{name}_{module.stem}"
            if own in taken:
                raise ExportError(f"{module.name}.{name} has no name of its own")
            taken.add(own)
            final[module.name, name] = own
    return final


class _Renamer(cst.CSTTransformer):
    """Gives nodes of one module their final names and drops what only served imports."""

    def __init__(self, names: dict[cst.CSTNode, str]) -> None:
        self.names = names

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        name = self.names.get(original_node)
        return updated_node if name is None else updated_node.with_changes(value=name)

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        name = self.names.get(original_node)
        return updated_node if name is None else cst.Name(name)


def renamed(module: Module, final: dict[tuple[str, str], str]) -> cst.Module:
    """The module's tree with final names. Raises `ExportError` where an imported module is used as a value."""
    scopes = module.wrapper.resolve(ScopeProvider)
    scope = next(s for s in scopes.values() if isinstance(s, GlobalScope))
    attributes = _attributes(module.tree)
    names: dict[cst.CSTNode, str] = {}
    for assignment in scope.assignments:
        local = assignment.name
        target = module.taken.get(local)
        if target is not None and not target[1]:
            for access in assignment.references:
                attribute = attributes.get(access.node) if isinstance(access.node, cst.Name) else access.node
                if not isinstance(attribute, cst.Attribute):
                    raise ExportError(f"{module.name} uses the module {local} as a value")
                names[attribute] = _final(final, target[0], attribute.attr.value, module)
            continue
        key = target if target is not None else (module.name, local)
        if target is None and key not in final:
            continue
        own = _final(final, *key, module)
        if own != local:
            _rename(names, assignment, own)
    tree = module.tree.visit(_Renamer(names))
    assert isinstance(tree, cst.Module)
    return tree


def _rename(names: dict[cst.CSTNode, str], assignment: object, own: str) -> None:
    node = getattr(assignment, "node", None)
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        names[node.name] = own
    elif isinstance(node, cst.Name):
        names[node] = own
    for access in getattr(assignment, "references", ()):
        if isinstance(access.node, cst.Name):
            names[access.node] = own
        elif isinstance(access.node, cst.Attribute):
            inner: cst.BaseExpression = access.node
            while isinstance(inner, cst.Attribute):
                inner = inner.value
            names[inner] = own


def _final(final: dict[tuple[str, str], str], source: str, name: str, module: Module) -> str:
    if (source, name) not in final:
        return name
    return final[source, name]


def _attributes(tree: cst.Module) -> dict[cst.CSTNode, cst.Attribute]:
    """Name nodes to the attribute access that they are the value of."""
    found: dict[cst.CSTNode, cst.Attribute] = {}

    class Finder(cst.CSTVisitor):
        def visit_Attribute(self, node: cst.Attribute) -> None:
            if isinstance(node.value, cst.Name):
                found[node.value] = node

    tree.visit(Finder())
    return found
