"""Print calls to patterns, and logs against them."""

import ast
import time
from dataclasses import replace

import pytest

from auditor.core.submission import Role
from auditor.record import analyse, executed_lines
from auditor.record.match import read_book, template_facts
from auditor.record.parse import read_log
from auditor.record.patterns import Matcher, Template, parts_of
from auditor.record.prints import logger_names, read_prints
from tests.support import make_submission


def matcher(expression: str) -> Matcher:
    """A matcher of one string expression."""
    parts = parts_of(ast.parse(expression, mode="eval").body)
    assert parts is not None
    return Matcher(Template(tuple(parts), 1, True, 0))


@pytest.mark.parametrize(
    ("expression", "fits", "fits_not"),
    [
        ('f"loss:{x:.4f}"', "loss:1.2345", "loss:1.234"),
        ('f"n={n:d} of {m:,}"', "n=3 of 1,200", "n=3.5 of 1,200"),
        ('f"t={t:.0f}ms"', "t=178175ms", "t=178175.5ms"),
        ('f"p={p:.1%}"', "p=12.5%", "p=12.5"),
        ('f"lr {lr:.2e}"', "lr 3.00e-04", "lr 0.0003"),
        ('"a %d b %.2f" % (a, b)', "a 3 b 0.25", "a 3 b 0.2"),
        ('"{} of {:.1f} s".format(a, b)', "x of 2.5 s", "x of 2.55 s"),
        ('"size " + name + ": " + str(n)', "size model: 3", "sizes"),
        ('"=" * 10', "==========", "========="),
        ('f"{\'on\' if x else \'off\'}:mode"', "off:mode", "none:mode"),
        ('f"  indented {x}"', "indented 3", "dented 3"),
        ('f"end {x} bytes"', "end 12 bytes", "end 12 bytes (1.2 MB)"),
    ],
)
def test_formats_become_typed_holes(expression: str, fits: str, fits_not: str) -> None:
    assert matcher(expression).fits(fits)
    assert not matcher(expression).fits(fits_not)


def test_hostile_templates_take_linear_time() -> None:
    many = matcher("f'" + "{a}a" * 60 + "b'")
    start = time.perf_counter()
    assert not many.fits("a" * 1900)
    assert time.perf_counter() - start < 0.5


NESTED = """
def main():
    def l(s, console=True):
        if console:
            print(s)
    p = l
    def report(msg):
        p(msg)
    report(f"step:{1}")
    def score(x, log0=print):
        log0(f"val_bpb:{x:.4f}")
    score(1.0)
main()
"""


def test_loggers_are_found_through_closures_aliases_and_defaults() -> None:
    assert {"print", "l", "p", "report", "log0"} <= logger_names(ast.parse(NESTED))


def test_math_log_is_no_logger() -> None:
    prints = read_prints("a.py", "import math\nx = math.log(2)\nprint(f'loss {x:.3f}')\n")
    assert [c.line for c in prints.calls] == [3]


SCRIPT = """import torch

def main():
    print(f"model_params:{1}")
    print(f"world_size:{1} grad_accum_steps:{2}")
    for step in range(9):
        print(f"step:{step}/{9} train_loss:{1.0:.4f} train_time:{3.0:.0f}ms step_avg:{1.0:.2f}ms")
    if torch:
        print(f"Serialized model int8+zlib: {5} bytes")
    msg = f"final_roundtrip val_loss:{1.0:.4f} val_bpb:{1.0:.4f}"
    print(msg)
    print("all done with this run")

main()
"""
LOG = """model_params:17
world_size:8 grad_accum_steps:1
step:3/9 train_loss:1.2345 train_time:120ms step_avg:40.00ms
Serialized model int8+zlib: 15000000 bytes
final_roundtrip val_loss:1.8573 val_bpb:1.1000
all done with this run
"""


def facts_of(log: str, script: str = SCRIPT):  # type: ignore[no-untyped-def]
    """Template facts of one script and one log."""
    submission = make_submission({"train_gpt.py": script, "train.log": log})
    runs = tuple(read_log(submission.logs[0], frozenset()))
    return template_facts(submission, runs, read_book(submission))


def test_a_log_of_this_code_fits_and_proves_calls() -> None:
    found = facts_of(LOG)
    assert not found.unprintable and not found.missing
    assert found.executed["train_gpt.py"] >= {4, 5, 7, 9}
    assert found.matched == found.own


def test_a_foreign_line_is_unprintable() -> None:
    found = facts_of(LOG.replace("Serialized model int8+zlib: 15000000 bytes", "int4 artifact size: 15000000 bytes"))
    assert [(u.at.line, u.same_words) for u in found.unprintable] == [(4, None)]


def test_a_wrong_format_is_told_from_a_foreign_line() -> None:
    found = facts_of(LOG.replace("train_loss:1.2345", "train_loss:1.23456"))
    assert found.unprintable[0].same_words is not None


def test_unconditional_lines_are_missed_only_before_what_was_reached() -> None:
    cut = LOG.replace("world_size:8 grad_accum_steps:1\n", "").replace("all done with this run\n", "")
    assert [m.at.line for m in facts_of(cut).missing] == [5]


def test_conditional_lines_are_never_missed() -> None:
    assert not facts_of(LOG.replace("Serialized model int8+zlib: 15000000 bytes\n", "")).missing


def test_an_unreadable_script_accuses_nobody() -> None:
    found = facts_of(LOG, "def main(:\n")
    assert found.checked == () and not found.unprintable and "train_gpt.py" in found.why


def test_executed_lines_ignore_the_echoed_source() -> None:
    echo = SCRIPT + "import a\nimport b\nclass X: pass\n" + "=" * 100 + "\n"
    submission = make_submission({"train_gpt.py": SCRIPT, "train.log": echo + "model_params:17\n"})
    assert executed_lines(submission) == {"train_gpt.py": frozenset({4})}


def test_an_older_copy_that_nothing_runs_takes_nothing_from_the_script() -> None:
    log = {"train.log": "model_params:17\n"}
    copy = make_submission({"train_gpt.py": SCRIPT, "old_gpt.py": SCRIPT, **log})
    older = tuple(replace(module, role=Role.OTHER) for module in copy.modules)
    assert executed_lines(replace(copy, modules=older)) == {"train_gpt.py": frozenset({4})}
    assert executed_lines(copy) == {}, "a module that runs may have printed it as well"


def test_the_echoed_source_is_compared() -> None:
    body = SCRIPT + "import a\nimport b\nclass X: pass\n" + "\n".join(f"x{i} = {i}" for i in range(30))
    changed = body.replace("x7 = 7", "x7 = 8  # comment")
    log = body + "\n" + "=" * 100 + "\n" + LOG
    same = analyse(make_submission({"train_gpt.py": body, "train.log": log})).templates.embedded
    other = analyse(make_submission({"train_gpt.py": changed, "train.log": log})).templates.embedded
    commented = analyse(make_submission({"train_gpt.py": body + "\n# a note", "train.log": log})).templates.embedded
    assert [e.changed for e in (*same, *other, *commented)] == [0, 1, 0]
    assert same[0].identical and not commented[0].identical


def test_positional_only_parameters_have_defaults_too() -> None:
    script = "def say(text, out=print, /, end=1):\n    out(text)\n\nsay('hello from the run')\n"
    found = facts_of("hello from the run\n", script)
    assert found.calls >= 1
