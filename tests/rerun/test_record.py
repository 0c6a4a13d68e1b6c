"""The record on disk: read as it was written, whatever a crash left of its end."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.rerun import record
from auditor.rerun.facts import Hardware, MeasuredScore, PhaseKind, PhaseSpan, RerunRecord, SeedEnd, SeedRun
from auditor.rerun.record import Identity, RecordError, Writer, latest, read

RUN = SeedRun(
    42, SeedEnd.FINISHED, 0, 12.5, (PhaseSpan(PhaseKind.TRAIN, "train", 0.0, 12.5, "launch"),),
    (MeasuredScore("final", 1.23, None, 7, 12.0),), MeasuredScore("final", 1.23, 2.1, 7, 12.0), 3, 100,
    artifact_bytes=5, code_bytes=6, log="seed42.log",
)  # fmt: skip
HEAD = RerunRecord(
    "0.1.0", "2026-04-01T00:00:00+00:00", "x", "train_gpt.py", "ab", Hardware(("H100",) * 8, 80, "1", "2.9", 8),
    (("A", "1", "log, train.log:3"),), (42, 7), 600.0, 600.0, 60.0, 16_000_000, notes=("a note",),
)  # fmt: skip
IDENTITY = Identity("ab", "cd", (("A", "1"),), 8, False)


def written(folder: Path, *runs: SeedRun) -> Path:
    writer = Writer(folder)
    writer.head(HEAD, IDENTITY, {})
    for run in runs:
        writer.seed(run)
    writer.close()
    return folder


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", replace(RUN, seed=7), RUN)
    assert read(folder) == replace(HEAD, seeds=(RUN, replace(RUN, seed=7)), folder=str(folder))
    assert record.identity_of(folder) == IDENTITY


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_cut_last_line_is_survived_and_appended_to(tmp_path: Path, cut: int) -> None:
    folder = written(tmp_path / "r", RUN, replace(RUN, seed=7))
    path = folder / record.NAME
    path.write_bytes(path.read_bytes()[:-cut])
    assert read(folder).seeds[:1] == (RUN,)
    writer = Writer(folder)
    writer.seed(replace(RUN, seed=7, seconds=1.0))
    writer.close()
    assert [r.seed for r in read(folder).seeds][:2] == [42, 7]
    assert read(folder).seeds[-1].seconds == 1.0


def test_of_a_seed_that_never_finished_the_last_run_stands() -> None:
    broken = replace(RUN, end=SeedEnd.INTERRUPTED)
    crashed = replace(RUN, end=SeedEnd.CRASHED)
    assert latest([broken, crashed]) == [crashed]
    assert latest([broken, RUN]) == [RUN] == latest([RUN, crashed])
    assert latest([RUN, RUN]) == [RUN, RUN], "a seed that ran twice shows the spread of one seed"


def test_errors_and_notes_of_the_last_invocation_stand(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", RUN)
    writer = Writer(folder)
    writer.write("setup_error", text="no wheel")
    writer.write("note", text="more")
    assert read(folder).setup_error == "no wheel" and read(folder).notes == ("a note", "more")
    writer.head(HEAD, IDENTITY, {})
    writer.close()
    assert read(folder).setup_error == "" and read(folder).seeds == (RUN,)


def broken_head(**changes: object) -> str:
    values = {"event": "head", "schema": 1, "record": {**json.loads(json.dumps(_plain(HEAD)))}}
    values["record"].update(changes)  # type: ignore[attr-defined]
    return json.dumps(values)


def _plain(head: RerunRecord) -> dict[str, object]:
    from dataclasses import asdict

    return {k: v for k, v in asdict(head).items() if k not in ("seeds", "folder")}


@pytest.mark.parametrize("text", [
    "", "[]\n", "{}\n", '{"event": "seed", "run": {}}\n', "\x00\xff", broken_head(limit_train="600"),
    broken_head(asked_seeds=7), broken_head(hardware=None), broken_head(settings=[["A"]]),
    broken_head(limit_train=10**400),
    '{"event": "head", "schema": 1, "record": 3}',
])  # fmt: skip
def test_what_is_no_record_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / record.NAME).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(RecordError) as told:
        read(tmp_path)
    assert str(tmp_path) in str(told.value) and "\n" not in str(told.value)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        read(tmp_path / "none")
    assert record.identity_of(tmp_path) is None


def test_links_and_pipes_are_no_record(tmp_path: Path) -> None:
    """A record from elsewhere must not lead this tool to write into a file of its reader, nor hold it up."""
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    for name, make in (("link", lambda p: p.symlink_to(mine)), ("pipe", os.mkfifo), ("folder", os.mkdir)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder / record.NAME)
        with pytest.raises((RecordError, IsADirectoryError)):
            Writer(folder)
        with pytest.raises(RecordError, match=r"no regular file|directory"):
            read(folder)
    assert mine.read_text() == "mine\n"


def test_a_record_of_another_form_is_not_guessed_at(tmp_path: Path) -> None:
    folder = written(tmp_path / "r", RUN)
    path = folder / record.NAME
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(RecordError, match="its form is 2"):
        read(folder)
