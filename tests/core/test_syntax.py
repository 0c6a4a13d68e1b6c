from __future__ import annotations

import ast

import pytest

from auditor.core.syntax import MAX_DEPTH, depth, parse_python

SAME_QUOTES = (
    "names = ['a', 'b']\nx = f\"{', '.join(f\"{n}!\" for n in names)} of {len(names):>{3}} {names[0]!r}\"\ny = 3\n"
)


def _run(text: str) -> dict[str, object]:
    parsed = parse_python(text)
    assert parsed.tree is not None, parsed.problem
    scope: dict[str, object] = {}
    exec(compile(ast.fix_missing_locations(parsed.tree), "own_test_text", "exec"), scope)
    return scope


def test_plain_text_is_parsed_as_it_is() -> None:
    parsed = parse_python("x = 1\n")
    assert parsed.tree is not None and not parsed.rewritten and parsed.problem is None


def test_the_312_grammar_gives_the_same_values_and_lines() -> None:
    scope = _run(SAME_QUOTES)
    assert scope["x"] == "a!, b! of   2 'a'"
    tree = parse_python(SAME_QUOTES).tree
    assert tree is not None
    assert [node.lineno for node in tree.body] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = f'{'a' + 'b'}'", "ab"),
        ("x = f'{\"\\n\".join(['p', 'q'])}'", "p\nq"),
        ("d = {'k': 5}\nx = f'{d['k']=}'", "d['k']=5"),
        ("d = {'k': 5}\nx = 'head ' f'{d['k']:03d}' ' {tail}'", "head 005 {tail}"),
        ("d = {'k': 5}\nx = f'{{{d['k']}}}\\t'", "{5}\t"),
        ("x = f'{\n  'a'  # why\n}'", "a"),
        ("d = {'w': 4}\nx = f'{'z':>{d['w']}}'", "   z"),
        ("x = rf'\\d{'a'}'", "\\da"),
        ("y = sum((1)-(0 if a else 2)for a in [1])\nx = f'{'a'}{y}'", "a1"),
    ],
)
def test_rewritten_strings_keep_their_value(text: str, expected: str) -> None:
    assert _run(text)["x"] == expected


def test_a_rewritten_string_is_a_joined_string_again() -> None:
    tree = parse_python("x = f'{'a'}b'").tree
    assert tree is not None
    value = tree.body[0].value  # type: ignore[attr-defined]
    assert isinstance(value, ast.JoinedStr)
    assert [type(part) for part in value.values] == [ast.FormattedValue, ast.Constant]


def test_line_numbers_after_a_string_of_several_lines() -> None:
    tree = parse_python('x = f"""one {"a" + \'\'\'b\'\'\'}\ntwo {f"{"c"}"}\n"""\ny = 1\n').tree
    assert tree is not None and tree.body[1].lineno == 4


def test_type_parameters_are_dropped() -> None:
    tree = parse_python("type A = int\ndef f[T](x: T) -> T:\n    return x\nclass C[T]:\n    pass\n").tree
    assert tree is not None
    assert [type(n).__name__ for n in tree.body] == ["Assign", "FunctionDef", "ClassDef"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("x = 1\ny = (\n", 2, "never closed"),
        ("x = 1\ny = 'a\x00b'\n", 2, "NUL"),
        ("<<<<<<< HEAD\nx = f'{'a'}'\n", 1, "not valid Python"),
        ("x = f'{'a' + }'\n", 1, "not valid Python"),
        ("(" * 5_000 + ")" * 5_000, 1, ""),
        ("x = " + "-" * 60_000 + "1", 0, "nest"),
        ("x = " + "+".join(["a"] * 5_000), 0, "nest"),
        ("x = f'{'a'}'\ny = " + "[" * 400 + "]" * 400, 1, ""),
    ],
)
def test_what_cannot_be_parsed_is_a_problem_and_no_error(text: str, line: int, reason: str) -> None:
    parsed = parse_python(text)
    assert parsed.tree is None and parsed.problem is not None
    assert reason in parsed.problem.reason
    assert parsed.problem.line in (line, 0) or not reason


def test_byte_order_mark_and_encoding_line_do_no_harm() -> None:
    assert parse_python("\ufeff# -*- coding: klingon -*-\nx = 1\n").tree is not None


def test_depth_stops_at_its_limit() -> None:
    assert depth(ast.parse("x = 1")) == 4
    assert depth(ast.parse("+".join(["a"] * 500))) == MAX_DEPTH + 1
