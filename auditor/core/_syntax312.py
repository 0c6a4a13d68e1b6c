"""The rewriting of Python 3.12 grammar for ``auditor.core.syntax``; the only file of core that needs libcst."""

from __future__ import annotations

import ast
import re
import threading
import warnings

import libcst as cst

STACK_BYTES = 256 << 20
"""libcst's parser recurses on the thread's stack; a large one costs address space only."""
FSTRING, FVALUE = "__fstring_312__", "__fvalue_312__"
_CLOSE_KEYWORD = re.compile(r"(?<=[)\]}])(?=(?:for|if|else|in|and|or|is|not)\b)")
"""Where minifiers drop a space that Python does not need and libcst sometimes insists on: ``(a)-(b)for c in d``."""
_CONVERSIONS = {None: -1, "s": ord("s"), "r": ord("r"), "a": ord("a")}


def rewrite(text: str) -> str | None:
    """``text`` with the same number of lines and no 3.12-only f-string or type parameter; None if libcst cannot."""
    result: list[str] = []

    def work() -> None:
        for version in (text, _CLOSE_KEYWORD.sub(" ", text)):
            try:
                result.append(cst.parse_module(version).visit(_Rewriter()).code)
                return
            except cst.CSTValidationError:
                continue
            except (cst.ParserSyntaxError, RecursionError, SyntaxError, ValueError):
                return

    old = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
    finally:
        threading.stack_size(old)
    thread.join()
    return result[0] if result else None


def _code(node: cst.CSTNode) -> str:
    return cst.Module(body=[]).code_for_node(node)


def _accepted(code: str) -> bool:
    """Whether this interpreter's own parser takes the expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(f"({code})", mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


class _Rewriter(cst.CSTTransformer):
    """Replace what 3.11 does not parse, nothing else."""

    def visit_FormattedString(self, node: cst.FormattedString) -> bool:
        return _accepted(_code(node))

    def leave_FormattedString(
        self, original_node: cst.FormattedString, updated_node: cst.FormattedString
    ) -> cst.BaseExpression:
        return self._replaced(original_node) or updated_node

    def visit_ConcatenatedString(self, node: cst.ConcatenatedString) -> bool:
        return _accepted(_code(node))

    def leave_ConcatenatedString(
        self, original_node: cst.ConcatenatedString, updated_node: cst.ConcatenatedString
    ) -> cst.BaseExpression:
        return self._replaced(original_node) or updated_node

    def leave_TypeAlias(self, original_node: cst.TypeAlias, updated_node: cst.TypeAlias) -> cst.BaseSmallStatement:
        return cst.Assign([cst.AssignTarget(updated_node.name)], updated_node.value)

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        return updated_node.with_changes(type_parameters=None)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        return updated_node.with_changes(type_parameters=None)

    def _replaced(self, node: cst.BaseString) -> cst.BaseExpression | None:
        original = _code(node)
        if _accepted(original):
            return None
        parts = self._parts(node)
        if parts is None:
            return None
        made = f"{FSTRING}({', '.join(parts)}"
        missing = original.count("\n") - made.count("\n")
        return cst.parse_expression(made + "\n" * max(missing, 0) + ")")

    def _parts(self, node: cst.BaseExpression) -> list[str] | None:
        """The arguments of the stand-in call for one string or a row of adjacent ones; None for bytes."""
        if isinstance(node, cst.ConcatenatedString):
            left, right = self._parts(node.left), self._parts(node.right)
            return None if left is None or right is None else left + right
        if isinstance(node, cst.SimpleString):
            return None if "b" in node.prefix.lower() else [_literal(ast.literal_eval(node.value), node.value)]
        if isinstance(node, cst.FormattedString):
            raw = "r" in node.start.lower()
            return [self._part(part, raw) for part in node.parts]
        return None

    def _part(self, part: cst.BaseFormattedStringContent, raw: bool) -> str:
        if isinstance(part, cst.FormattedStringText):
            return _literal(_text(part.value, raw), part.value)
        assert isinstance(part, cst.FormattedStringExpression)
        inner = part.expression.visit(self)
        assert isinstance(inner, cst.CSTNode)
        code = _code(part.whitespace_before_expression) + _code(inner) + _code(part.whitespace_after_expression)
        conversion, spec = _CONVERSIONS[part.conversion], "None"
        if part.format_spec is not None:
            spec = f"{FSTRING}({', '.join(self._part(p, raw) for p in part.format_spec)})"
        elif part.equal is not None and part.conversion is None:
            conversion = ord("r")
        value = f"{FVALUE}(({code}), {conversion}, {spec})"
        if part.equal is None:
            return value
        shown = _code(part.whitespace_before_expression) + _code(part.expression) + _code(part.equal)
        return f"{shown!r}, {value}"


def _literal(value: str, source: str) -> str:
    """``value`` as a one-line literal, followed by the line ends that its source had."""
    return repr(value) + "\n" * source.count("\n")


def _text(source: str, raw: bool) -> str:
    """The characters that a literal part of an f-string stands for."""
    plain = source.replace("{{", "{").replace("}}", "}")
    if raw or "\\" not in plain:
        return plain
    quoted = plain.replace("\\\\", "\0").replace('\\"', '"').replace('"', '\\"').replace("\0", "\\\\")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(ast.literal_eval(f'"""{quoted}"""'))
