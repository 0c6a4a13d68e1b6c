"""A store with one submission of each sort, hostile text included, and the board that is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auditor.board import site
from auditor.sweep.progress import Silent
from auditor.sweep.store import Store, reading
from auditor.sweep.types import Audited, Folder, Planned, Pull
from rules import load_rules

TRACK = "records/track_10min_16mb"
EVIL = '</script><script>window.hit=1</script><img src=x onerror="window.hit=1">\u202egnp.exe{{7*7}}'
FUNCTIONS = {"<module>": ["m", 100], "train": ["t", 400], "evaluate": ["e", 300]}


READY = {"2026-04-06_Sixth": False, "2026-04-03_Third": None}


def report(verdict: str, path: str, rule: str = "", **more: Any) -> dict[str, Any]:
    """A report as the engine writes it, with one finding by ``rule``."""
    ruling = {"rule": rule, "witness": "source", "ruling": "illegal", "kind": "integrity"}
    finding = {"confidence": "high", "message": EVIL, "at": {"file": EVIL, "line": 3},
               "path": [{"file": "train_gpt.py", "line": n, "note": EVIL} for n in range(1, 20)]}  # fmt: skip
    results = [ruling | {"outcome": "found", "reason": EVIL, "findings": [finding] * 14}] if rule else []
    results += [
        {"rule": "seeds", "witness": "record", "outcome": "found", "reason": "one seed", "ruling": "illegal",
         "kind": "form", "findings": [{"confidence": "low", "message": "m", "at": {"field": "seeds"}, "path": []}]},
        {"rule": "artifact-cap", "witness": "record", "outcome": "unknown", "reason": EVIL, "findings": []},
        {"rule": "val-train", "witness": "source", "outcome": "clear", "reason": "covered", "findings": []},
        {"rule": "ttt-score-first", "witness": "source", "outcome": "found", "reason": "seen", "ruling": "legal",
         "kind": "integrity", "findings": []},
        {"rule": "slot-causal", "witness": "behaviour", "outcome": "not_applicable", "reason": "no", "findings": []},
    ]  # fmt: skip
    return {
        "verdict": verdict, "verdict_reason": EVIL, "complete": False, "witnesses_run": ["source", "record"],
        "record_ready": {"ready": READY.get(path.rpartition("/")[2], True), "reasons": [EVIL]}, "results": results,
        "submission": {"path": path, "track": "track_10min_16mb", "script": EVIL, "script_sha256": "ab" * 32,
                       "packed": None},
        "claims": [{"kind": "val_bpb", "stated": 1.2, "where": {"field": "val_bpb"}, "measured": EVIL, "how": None}],
        "settings": [{"name": EVIL, "value": EVIL, "origin": EVIL}], "notes": [EVIL], "disagreements": [EVIL],
        "smoke": {}, "behaviour": None,
    } | more  # fmt: skip


SUBMISSIONS = [
    # number, folder, verdict, rule, author, day, bpb
    (1, "2026-04-01_First", "no_violation_found", "", "Ada", "2026-04-01", 1.19),
    (2, "2026-04-02_Second", "non_compliant", "ttt-pre-quant", "Grace", "2026-04-02", 1.05),
    (3, "2026-04-03_Third", "needs_review", "slot-causal", EVIL, "2026-04-03", 1.10),
    (4, "2026-04-04_Fourth", "inconclusive", "", "Ada", "2026-04-04", 1.15),
    (5, "2026-04-05_Fifth", "no_violation_found", "", "Alan", "2026-04-05", 1.17),
    (6, "2026-04-06_Sixth", "no_violation_found", "", "Alan", "2026-04-06", 1.18),
]


def store(path: Path) -> Path:
    """A finished sweep of `SUBMISSIONS`, one twin, one error, one pull request without, one unread, one not audited."""
    made = Store(path)
    run = made.begin("contest.git", "0.1.0+abc", "2026-05-02", {"witnesses": ["source", "record"]})
    for number, folder, verdict, rule, author, day, bpb in SUBMISSIONS:
        where = f"{TRACK}/{folder}"
        pull = Pull(f"refs/pull/{number}/head", f"{number:040x}", number)
        made.planned(
            pull, Planned("b", author, f"{EVIL} {number}", f"{day}T10:00:00+00:00", (Folder(where, str(number)),)), "k"
        )
        (todo,) = made.todos([pull.ref])
        functions = FUNCTIONS | {"train": [f"t{number % 3}", 400]}
        stated = {"name": f"{EVIL} {number}", "author": author, "date": day, "val_bpb": bpb}
        facts = {"program": f"p{number % 3}", "functions": functions, "stated": stated}
        told = report(verdict, where, rule, claims=[{"kind": "val_bpb", "stated": bpb, "where": {"field": "val_bpb"},
                                                     "measured": None, "how": EVIL}])  # fmt: skip
        made.audited(todo.id, f"key{number}", Audited(told, "", 1.5, 1.0, 90 << 20, facts))
        if number == 2:
            _twin(made, todo.id)
    _failed(made)
    made.planned(Pull("refs/pull/9/head", "9" * 40, 9), Planned("b", EVIL, EVIL, "", (), EVIL), "k")
    made.unplanned(Pull("refs/pull/10/head", "a" * 40, 10), EVIL)
    made.planned(Pull("refs/pull/11/head", "c" * 40, 11), Planned(folders=(Folder(f"{TRACK}/Waits", "w"),)), "k")
    from auditor.sweep import lineage

    made.put_lineage(lineage.rows(made.db))
    made.end(run, 12.5, {})
    made.close()
    return path


def _twin(made: Store, first: int) -> None:
    pull = Pull("refs/pull/7/head", "7" * 40, 7)
    made.planned(pull, Planned(author="Copy", title="t", folders=(Folder(f"{TRACK}/2026-04-02_Second", "2"),)), "k")
    (todo,) = made.todos([pull.ref])
    made.shared(todo.id, first, "key2")


def _failed(made: Store) -> None:
    pull = Pull("refs/heads/odd", "8" * 40, None)
    made.planned(pull, Planned(author="Eve", title="t", folders=(Folder(f"{TRACK}/Hangs", "8"),)), "k")
    (todo,) = made.todos([pull.ref])
    made.audited(todo.id, "key8", Audited(error=f"it took longer than 120 s {EVIL}"))


def board(path: Path, out: Path, link: str = "") -> site.Written:
    """Write the board of a store."""
    with reading(path) as db:
        return site.write(db, out, load_rules(), link, Silent())
