"""What the record rules share: issues of the facts turned into findings, and tiny folders for their examples."""

from __future__ import annotations

import json
from collections.abc import Iterable

from auditor.core.rule import Ruled
from auditor.core.types import Confidence, Finding, Place
from auditor.record.facts import RecordFacts

RECORD = "track_10min_16mb"


def finding(confidence: str | Confidence, message: str, at: Place) -> Finding:
    """One finding; ``confidence`` may be its word."""
    return Finding(Confidence(confidence), message, at)


def form_ruled(facts: RecordFacts, rule: str, *, clear: str) -> Ruled:
    """The form issues that carry ``rule``, or ``clear`` with the given sentence."""
    issues = [issue for issue in facts.form if issue.rule == rule]
    if not issues:
        return Ruled.clear(clear)
    found = [finding(issue.confidence, issue.message, issue.at) for issue in issues]
    return Ruled.found(found, f"{len(found)} fault{'s' if len(found) > 1 else ''}: {issues[0].message}")


def data_ruled(facts: RecordFacts, rule: str, *, clear: str, none: str) -> Ruled:
    """The data issues that carry ``rule``; ``none`` is the reason when no log could be read."""
    issues = [issue for issue in facts.data if issue.rule == rule]
    if issues:
        return Ruled.found([finding(i.confidence, i.message, i.at) for i in issues], issues[0].message)
    return Ruled.clear(clear) if facts.judged() else Ruled.not_applicable(none)


def log(
    lines: Iterable[str] = (),
    *,
    train_ms: int = 599_000,
    bpb: str = "1.10000000",
    loss: str = "1.85733000",
    tokens: int = 62_021_632,
    model: int = 15_000_000,
    code: int = 60_000,
    eval_ms: int = 90_000,
    seed: int = 42,
) -> str:
    """A short log in the baseline's form, with ``lines`` before the final score."""
    body = [
        f"val_loader:shards pattern=./data/fineweb_val_*.bin tokens:{tokens}",
        "train_loader:dataset:fineweb10B_sp1024 train_shards:80",
        "world_size:8 grad_accum_steps:1",
        f"seed:{seed}",
        f"step:100/20000 train_loss:3.{seed:04d} train_time:5000ms step_avg:50.00ms",
        f"step:12000/20000 train_loss:1.{seed:04d} train_time:{train_ms}ms step_avg:50.00ms",
        f"stopping_early: wallclock_cap train_time:{train_ms}ms step:12000/20000",
        f"Code size: {code} bytes",
        f"Serialized model int8+zlib: {model} bytes",
        f"Total submission size int8+zlib: {model + code} bytes",
        *lines,
        f"final_int8_zlib_roundtrip val_loss:{loss[:6]} val_bpb:{bpb[:6]} eval_time:{eval_ms}ms",
        f"final_int8_zlib_roundtrip_exact val_loss:{loss} val_bpb:{bpb}",
    ]
    return "\n".join(body) + "\n"


def metadata(**fields: object) -> str:
    """A submission.json with the usual fields, one a line."""
    usual: dict[str, object] = {
        "author": "A",
        "github_id": "a",
        "name": "Example",
        "date": "2026-04-01",
        "val_bpb": 1.1,
    }
    return json.dumps({**usual, **fields}, indent=1)


def readme(bpb: str = "1.1000", *more: str) -> str:
    """A README that states a score, with further paragraphs."""
    return "\n\n".join(("# Example", f"val_bpb {bpb}", *more)) + "\n"


SCRIPT = """import torch


def main():
    print(f"step:{1}/{2} train_loss:{3.0:.4f}")


main()
"""
PRINTS = """def main(console):
    print(f"val_loader:shards pattern={4} tokens:{5}")
    print(f"train_loader:dataset:{4} train_shards:{5}")
    print(f"world_size:{8} grad_accum_steps:{1}")
    print(f"seed:{8}")
    print(f"step:{1}/{2} train_loss:{3.0:.4f} train_time:{1:.0f}ms step_avg:{1:.2f}ms")
    if console:
        print(f"stopping_early: wallclock_cap train_time:{6:.0f}ms step:{1}/{2}")
    print(f"Code size: {4} bytes")
    print(f"Serialized model int8+zlib: {4} bytes")
    print(f"Total submission size int8+zlib: {4} bytes")
    print(f"final_int8_zlib_roundtrip val_loss:{1:.4f} val_bpb:{1:.4f} eval_time:{1:.0f}ms")
    print(f"final_int8_zlib_roundtrip_exact val_loss:{1:.8f} val_bpb:{1:.8f}")


main(True)
"""
"""A script that prints every line of `log`."""


def folder(**changes: str) -> dict[str, str]:
    """A small complete folder; the keywords train_log, train_gpt, readme_md and submission replace its files."""
    files = {"train_gpt.py": SCRIPT, "README.md": readme(), "submission.json": metadata(), "train.log": log()}
    names = {
        "train_log": "train.log",
        "train_gpt": "train_gpt.py",
        "readme_md": "README.md",
        "submission": "submission.json",
    }
    return {**files, **{names[key]: text for key, text in changes.items()}}


SEEDS = {
    **folder(submission=metadata(val_bpb=1.06, hardware="8xH100"), readme_md=readme("1.0600")),
    "train.log": log(bpb="1.06010000", loss="1.78997000", seed=42),
    "train_seed7.log": log(bpb="1.05990000", loss="1.78963000", seed=7),
    "train_seed99.log": log(bpb="1.06000000", loss="1.78980000", seed=99),
}
"""Three seeds that beat every row before their date."""
