"""What a sweep says at its end."""

from __future__ import annotations

import re
from pathlib import Path

from auditor.sweep import summary
from auditor.sweep.run import Course
from tests.sweep.test_store import PULL, filled


def test_the_text_fits_80_columns_and_loses_no_figure(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    course = Course(1, 2059, 2059, 2594, 2506, 1088, 1234, (PULL.ref,), 3121.5, 3100.0)
    text = summary.as_text(summary.figures(store.db, course, 165 << 20), "audits.db")
    store.close()
    assert max(map(len, text.splitlines())) <= 80
    said = " ".join(text.split())
    for wanted in (
        "2,059 pull requests: 1 add submissions, 0 add none",
        "2,506 audited now, 1,088 share the report of an equal folder, 1,234 were up to date",
        "0:52:02 in all (3121.5 s)",
        "itself 165 MiB",
    ):
        assert wanted in said
    assert re.search(r"\n\n +0  non_compliant\n(.*\n){3} +0  error\n\n", text)


def test_what_another_sweep_left_in_the_store_is_told(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    own = summary.figures(store.db, Course(refs=(PULL.ref,)), 0)
    none = summary.figures(store.db, Course(refs=("refs/pull/8/head",)), 0)
    store.close()
    assert (own["pull_requests"]["others_in_the_store"], none["pull_requests"]["others_in_the_store"]) == (0, 1)
    said = "pull requests in the store that are not of this sweep: 1"
    assert said in summary.as_text(none, "a.db") and said not in summary.as_text(own, "a.db")
