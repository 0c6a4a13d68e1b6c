"""What is audited, what is shared, what is left alone: the course of a sweep on an engine without processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from auditor.sweep import run as sweeping
from auditor.sweep.progress import Silent
from auditor.sweep.run import Asked, Course, sweep, work
from auditor.sweep.store import Store
from auditor.sweep.types import Folder, Planned, Pull
from tests.sweep.test_store import report

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Bench:
    """An engine that answers in place, the last request first, and remembers what it was asked."""

    def __init__(self, plans: dict[str, Planned], slots: int = 3) -> None:
        self.plans = plans
        self.slots = slots
        self.audits: list[str] = []
        self.fails: dict[str, list[str]] = {}
        """Path to the errors of its next audits."""
        self._waiting: list[Mapping[str, Any]] = []

    def submit(self, request: Mapping[str, Any]) -> None:
        assert len(self._waiting) < self.slots
        self._waiting.append(request)

    def collect(self, timeout: float) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        request = self._waiting.pop()
        return [(request, self._answer(request))]

    def close(self) -> None:
        self._waiting.clear()

    def _answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["do"] == "plan":
            plan = self.plans.get(request["ref"])
            return {"error": "damaged"} if plan is None else {"planned": plan.as_dict()}
        self.audits.append(f"{request['ref']} {request['path']}")
        if self.fails.get(request["path"]):
            return {"error": self.fails[request["path"]].pop(0)}
        facts = {"program": "p", "functions": {"f": ["d", 3]}, "stated": {}}
        return {"audited": {"report": report(), "facts": facts, "error": "", "seconds": 1.0, "cpu_seconds": 1.0,
                            "peak_bytes": 5}}  # fmt: skip


def pulls(*numbers: int, head: str = "h") -> list[Pull]:
    return [Pull(f"r{n}", f"{head}{n}", n) for n in numbers]


def plans(*contents: str) -> dict[str, Planned]:
    return {f"r{n}": Planned(folders=(Folder("p/X", c),)) for n, c in enumerate(contents, 1)}


def swept(store: Store, bench: Bench, pulled: list[Pull], **more: Any) -> Course:
    return sweep(pulled, Asked("repo", "base", "2026", **more), store, bench, Silent())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "a.db")
    yield opened
    opened.close()


def test_equal_folders_are_audited_once_and_say_so(store: Store) -> None:
    bench = Bench(plans("same", "other", "same", "same"))
    course = swept(store, bench, pulls(1, 2, 3, 4))
    assert len(bench.audits) == 2 and (course.audited, course.shared) == (2, 2)
    rows = store.db.execute("SELECT verdict, same_as FROM submissions").fetchall()
    assert len(rows) == 4 and all(verdict == "non_compliant" for verdict, _ in rows)
    assert sum(same is not None for _, same in rows) == 2


def test_a_second_sweep_does_nothing(store: Store) -> None:
    swept(store, Bench(plans("a", "b")), pulls(1, 2))
    again = Bench(plans("a", "b"))
    course = swept(store, again, pulls(1, 2))
    assert again.audits == [] and (course.looked_at, course.audited, course.up_to_date) == (0, 0, 2)


def test_a_new_head_with_the_same_folder_is_looked_at_but_not_audited(store: Store) -> None:
    swept(store, Bench(plans("a")), pulls(1))
    again = Bench(plans("a"))
    course = swept(store, again, pulls(1, head="new"))
    assert again.audits == [] and course.looked_at == 1
    assert store.db.execute("SELECT head FROM pulls").fetchall() == [("new1",)]


@pytest.mark.parametrize("what", ["edition", "options", "tool", "content"])
def test_what_a_report_depends_on_makes_a_new_audit(store: Store, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(store, Bench(plans("a")), pulls(1))
    bench, asked, head = Bench(plans("a")), Asked("repo", "base", "2026"), "h"
    if what == "edition":
        asked = Asked("repo", "base", "2025")
    elif what == "options":
        asked = Asked("repo", "base", "2026", {"witnesses": ["source"]})
    elif what == "tool":
        monkeypatch.setattr("auditor.sweep.tool.tool", lambda: "9.9")
        monkeypatch.setattr(sweeping, "tool", lambda: "9.9")
    else:
        bench, head = Bench(plans("changed")), "new"
    course = sweep(pulls(1, head=head), asked, store, bench, Silent())
    assert course.audited == 1 and len(bench.audits) == 1


def test_an_error_is_kept_and_tried_again_only_when_asked(store: Store) -> None:
    bench = Bench(plans("a", "b"))
    bench.fails = {"p/X": ["it hung"]}
    swept(store, bench, pulls(1, 2))
    assert sorted(store.db.execute("SELECT error FROM submissions").fetchall()) == [("",), ("it hung",)]
    calm = Bench(plans("a", "b"))
    assert swept(store, calm, pulls(1, 2)).audited == 0
    assert swept(store, calm, pulls(1, 2), retry_errors=True).audited == 1
    assert store.db.execute("SELECT error FROM submissions").fetchall() == [("",), ("",)]


def test_a_twin_of_one_that_failed_is_audited_itself(store: Store) -> None:
    bench = Bench(plans("same", "same", "same"))
    bench.fails = {"p/X": ["it hung"]}
    course = swept(store, bench, pulls(1, 2, 3))
    assert len(bench.audits) == 2 and course.shared == 1
    errors = [error for (error,) in store.db.execute("SELECT error FROM submissions ORDER BY id")]
    assert sorted(errors) == ["", "", "it hung"]


def test_pull_requests_without_submissions_and_unreadable_ones_are_recorded(store: Store) -> None:
    bench = Bench({"r1": Planned(note="it adds and changes no file"), "r3": Planned(folders=(Folder("p", "c"),))})
    swept(store, bench, pulls(1, 2, 3))
    states = store.db.execute("SELECT number, state, note FROM pulls ORDER BY number").fetchall()
    assert states == [(1, "none", "it adds and changes no file"), (2, "error", "damaged"), (3, "submissions", "")]
    again = Bench(bench.plans)
    assert swept(store, again, pulls(1, 2, 3)).looked_at == 1, "only what could not be read"


def test_an_interrupt_leaves_what_was_told_and_the_next_sweep_goes_on(store: Store) -> None:
    class Interrupted(Bench):
        def collect(self, timeout: float) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
            if len(self.audits) == 4:
                raise KeyboardInterrupt
            return super().collect(timeout)

    contents = [f"c{n}" for n in range(9)]
    with pytest.raises(KeyboardInterrupt):
        swept(store, Interrupted(plans(*contents)), pulls(*range(1, 10)))
    assert store.db.execute("SELECT count(*) FROM submissions WHERE key IS NOT NULL").fetchone() == (4,)
    rest = Bench(plans(*contents))
    course = swept(store, rest, pulls(*range(1, 10)))
    assert (course.up_to_date, course.audited) == (4, 5)


def test_other_pull_requests_of_the_store_are_left_alone(store: Store) -> None:
    swept(store, Bench(plans("a", "b")), pulls(1, 2))
    course = swept(store, Bench(plans("a")), pulls(1))
    assert (course.submissions, store.db.execute("SELECT count(*) FROM pulls").fetchone()[0]) == (1, 2)


def test_the_engine_is_kept_full_and_never_overfull() -> None:
    bench = Bench({}, slots=2)
    requests = ({"do": "plan", "ref": str(n)} if n != 3 else None for n in range(7))
    assert len(list(work(bench, requests))) == 6


def test_the_tool_is_told_by_the_code_that_judges() -> None:
    from importlib import resources

    from auditor.sweep.tool import _files, tool

    names = {name for package in ("auditor", "rules") for name, _ in _files(resources.files(package), package)}
    assert {"auditor/engine.py", "auditor/source/analysis.py", "auditor/report/json.py"} <= names
    assert {"rules/slot_causal.py", "rules/editions/2026-05-02.json"} <= names
    assert {"auditor/sweep/trees.py", "auditor/sweep/layout.py", "auditor/sweep/gitsource.py"} <= names
    assert not {n for n in names if n.startswith(("auditor/sweep/pool", "auditor/cli", "auditor/report/terminal"))}
    version, _, digest = tool().partition("+")
    assert version and len(digest) == 12
