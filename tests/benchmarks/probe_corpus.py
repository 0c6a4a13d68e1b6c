"""How many real submissions run whole at toy scale, how long it takes, and what the probe alone says of labelled ones.

    python -m tests.benchmarks.probe_corpus LIST.jsonl --root DIR --out RESULTS.jsonl [--jobs 2] [--only 644,1406]
    python -m tests.benchmarks.probe_corpus LIST.jsonl --out RESULTS.jsonl --table

LIST holds one object a line with ``pr`` and ``folder`` (and ``ruling``, ``rules`` where it is labelled); DIR holds the
laid-out folders as ``DIR/<pr>/<folder>``. Rows that RESULTS has already are not run again.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ORDER_AND_CACHE = re.compile(
    r"ttt-(?:pre|final)|min-nll|rescore|slot-|oracle|ngram-|ppm-|gptq-val|val-(?:train|cov)|noncausal"
)
"""Rule ids of the order and cache classes."""


def probe_one(pr: int, folder: Path) -> dict[str, Any]:
    """One probe, as a row of figures; an exception is a row too."""
    from auditor.behaviour.probe import ProbeOptions, probe
    from auditor.core.types import Outcome, Ruling, Witness
    from auditor.engine_probe import logged
    from auditor.intake import load_submission
    from rules import load_rules

    row: dict[str, Any] = {"pr": pr}
    try:
        submission = load_submission(folder)
        stated, executed = logged(submission)
        start = time.monotonic()
        result = probe(submission, ProbeOptions(stated=stated, executed=executed))
        row["seconds"] = round(time.monotonic() - start, 2)
        facts, trial = result.facts, result.trial
        ruled = {i: r.check(Witness.BEHAVIOUR, submission, facts) for i, r in load_rules().items()
                 if r.covers(Witness.BEHAVIOUR)}  # fmt: skip
        found = sorted(i for i, r in ruled.items() if r.outcome is Outcome.FOUND)
        accepted = {i for i, rule in load_rules().items() if rule.ruling is Ruling.LEGAL}
        row["found"] = [i for i in found if i not in accepted]
        row["recognised"] = [i for i in found if i in accepted]
        row["rulings"] = {i: r.outcome.value for i, r in ruled.items() if r.outcome in (Outcome.FOUND, Outcome.UNKNOWN)}
        row |= _figures(facts, trial)
    except Exception as error:  # one submission never stops the rest; the row says what happened
        row["error"] = f"{type(error).__name__}: {error}"
    return row


def _figures(facts: Any, trial: Any) -> dict[str, Any]:
    a = trial.a
    runs = [r for r in (a, *trial.varied, trial.perturbed) if r is not None]
    return {
        "reached": facts.reached, "ended": bool(a and a.log.ended), "failure": facts.failure,
        "attempts": facts.attempts,
        "failures": trial.failures, "headline": facts.headline, "peak": trial.peak_bytes, "level": facts.level,
        "how": a.judged.how if a is not None and a.judged is not None else "",
        "cpu": [round(r.log.cpu_seconds, 2) for r in runs], "wall": [round(r.log.seconds, 2) for r in runs],
        "answers": {q.value: [x.outcome.value, x.reason[:300]] for q, x in facts.answers.items()},
        "causes": sorted({e.cause.value for x in facts.answers.values() for e in x.evidence}),
        "parameters": facts.smoke.parameters, "smoke": list(facts.smoke.notes)[:2], "stubbed": list(facts.stubbed),
        "frames": (a.log.finished.get("frames") or [])[-4:] if a is not None else [],
    }  # fmt: skip


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def cause(row: dict[str, Any]) -> str:
    """Why a row did not reach its score, as a class."""
    text = str(row.get("error") or row.get("failure") or "")
    text = re.sub(r" at [\w.]+:\d+.*$", "", text)
    return re.sub(r"\d+", "#", text)[:100] or "no score behind the printed number"


def table(listed: list[dict[str, Any]], results: list[dict[str, Any]]) -> str:
    """What was measured, as text."""
    known = {item["pr"]: item for item in listed}
    mine = [r for r in results if r["pr"] in known]
    reached = [r for r in mine if r.get("reached")]
    lines = [f"submissions {len(mine)}, reached the headline or final evaluation {len(reached)} "
             f"({len(reached) / max(1, len(mine)):.1%}), matched to recorded scores "
             f"{sum(r.get('how') in ('added up', 'model losses') for r in reached)}"]  # fmt: skip
    lines += [f"  {n:4} {why}" for why, n in Counter(cause(r) for r in mine if not r.get("reached")).most_common(40)]
    for name, values in (("seconds", [r["seconds"] for r in mine if "seconds" in r]),
                         ("peak MiB", [r["peak"] / 2**20 for r in mine if "peak" in r])):  # fmt: skip
        ranked = sorted(values) or [0.0]
        middle, high = ranked[len(ranked) // 2], ranked[int(len(ranked) * 0.9)]
        lines.append(f"{name}: median {middle:.1f}, p90 {high:.1f}, max {ranked[-1]:.1f}")
    lines += [f"  {q}: {dict(Counter(r['answers'][q][0] for r in reached if q in r.get('answers', {})))}"
              for q in sorted({q for r in reached for q in r.get("answers", {})})]  # fmt: skip
    if any("ruling" in item for item in listed):
        lines += _labelled(known, mine)
    return "\n".join(lines)


def _labelled(known: dict[int, dict[str, Any]], mine: list[dict[str, Any]]) -> list[str]:
    lines, tally = [], Counter[str]()
    for row in sorted(mine, key=lambda r: int(r["pr"])):
        label = known[row["pr"]]
        ours = [r for r in label.get("rules", ()) if ORDER_AND_CACHE.search(r)]
        if label["ruling"] == "illegal" and ours and row.get("reached"):
            tally["illegal that run"] += 1
            tally["found"] += bool(row.get("found"))
            tally["right rule"] += bool(set(row.get("found", ())) & set(ours))
            if not row.get("found"):
                lines.append(f"missed #{row['pr']}: {','.join(ours)}; {_said(row)}")
        elif label["ruling"] == "illegal" and ours:
            tally["illegal that do not run"] += 1
        elif label["ruling"] == "legal" and row.get("reached"):
            tally["legal that run"] += 1
            tally["legal found"] += bool(row.get("found"))
            if row.get("found"):
                lines.append(f"wrong  #{row['pr']}: found {','.join(row['found'])}; {_said(row)}")
    return [*lines, str(dict(tally))]


def _said(row: dict[str, Any]) -> str:
    odd = {q: a[1][:90] for q, a in row.get("answers", {}).items() if a[0] != "clear"}
    return f"{row.get('how', '')} {odd}"


def main() -> int:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    listed = rows(args.list)
    done = rows(args.out) if args.out.exists() else []
    wanted = {int(n) for n in args.only.split(",") if n}
    todo = [i for i in listed if i["pr"] not in {r["pr"] for r in done} and (not wanted or i["pr"] in wanted)]
    if not args.table and args.root is not None:
        with ProcessPoolExecutor(args.jobs) as pool, args.out.open("a", encoding="utf-8") as sink:
            jobs = [pool.submit(probe_one, i["pr"], args.root / str(i["pr"]) / i["folder"]) for i in todo]
            for job in as_completed(jobs):
                done.append(job.result())
                print(json.dumps(done[-1]), file=sink, flush=True)
    print(table(listed, done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
