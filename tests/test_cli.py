"""The command line, run as its users run it: exit codes, streams, one-sentence errors, start-up."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from auditor import __version__, cli, cli_output
from auditor.core.types import Verdict, Witness
from auditor.report.json import schema
from tests.support import heeds_interrupts

ROOT = Path(__file__).resolve().parent.parent
HONEST = ROOT / "fixtures/submissions/honest_baseline/records/track_10min_16mb/2026-03-25_HonestBaseline"


def golf(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as if installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    command = [sys.executable, "-m", "auditor.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def one_sentence(run: subprocess.CompletedProcess[str]) -> str:
    """The message on stderr; asserts that it is one line and nothing is on stdout."""
    assert run.stdout == ""
    assert run.stderr.startswith("golf-audit: ") and run.stderr.count("\n") == 1, run.stderr
    return run.stderr


class TestUsage:
    """Wrong usage is exit 2 and one sentence."""

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "give the folder of a submission"),
            (["no-such-folder"], "no-such-folder"),
            (["--nonsense", "x"], "--nonsense"),
            (["audit", str(HONEST), "extra"], "extra"),
            ([str(HONEST), "--submission", "other"], "no submission named 'other' in it"),
            ([str(HONEST), "--format", "xml"], "unknown format 'xml'"),
            ([str(HONEST), "--format", "json="], "names no file"),
            ([str(HONEST), "--format", "json", "--format", "text"], "same place"),
            ([str(HONEST), "--witness", "oracle"], "unknown witness 'oracle'"),
            ([str(HONEST), "--witness", "source,rerun"], "needs the record of a re-run"),
            ([str(HONEST), "--as-of", "spring"], "--as-of takes a date"),
            ([str(HONEST), "--fail-on", "never"], "--fail-on takes"),
            ([str(HONEST), "--format", "json=no/such/folder/x.json"], "cannot write no/such/folder/x.json"),
            ([str(HONEST), "--config", "missing.toml"], "missing.toml cannot be read"),
            ([str(HONEST), "--show-source", "missing.py"], "no source 'missing.py'"),
            (["explain", "no-such-rule"], "no rule 'no-such-rule'"),
            (["explain"], "name a rule"),
            (["probe"], "give the folder of a submission"),
            (["probe", "no-such-folder"], "no-such-folder"),
            (["probe", str(HONEST), "--format", "xml"], "probe prints text or json; not 'xml'"),
            (["probe", str(HONEST), "--seconds", "0"], "--seconds takes a number from 1 to 3600; not 0"),
            (["probe", str(HONEST), "--seconds", "nan"], "--seconds takes a number from 1 to 3600; not nan"),
            (["probe", str(HONEST), "--replay", "missing.json"], "missing.json cannot be read"),
            (["probe", str(HONEST), "--replay", str(HONEST / "submission.json")], "is no witness file"),
            (["probe", str(HONEST), "--witness-dir", str(HONEST / "train_gpt.py")], "is a file"),
            (["rerun"], "give the folder of a submission"),
            ([str(HONEST), "--rerun-record", "nowhere"], "nowhere holds no record of a re-run"),
            (["sweep", "x.git"], "x.git: no such folder"),
            (["board", "x"], "there is no store of a sweep"),
            (["bpb"], "bpb needs --artifact and --preset and --data"),
        ],
    )
    def test_exit_2_and_one_sentence(self, arguments: list[str], says: str) -> None:
        run = golf(*arguments)
        assert run.returncode == 2, run.stderr
        assert says in one_sentence(run)

    def test_an_empty_folder_holds_no_submission(self, tmp_path: Path) -> None:
        run = golf(str(tmp_path))
        assert run.returncode == 2
        one_sentence(run)

    def test_a_file_is_no_folder(self) -> None:
        run = golf(str(HONEST / "train_gpt.py"))
        assert run.returncode == 2
        one_sentence(run)

    def test_a_hostile_path_is_neutralised(self) -> None:
        run = golf("\x1b[31mred")
        assert run.returncode == 2 and "\x1b" not in one_sentence(run)


class TestAudit:
    """The main job."""

    def test_the_command_word_may_be_left_out(self) -> None:
        short, long = golf(str(HONEST), "--no-probe"), golf("audit", str(HONEST), "--no-probe")
        assert short.returncode == long.returncode == 0, short.stdout + short.stderr
        assert short.stdout == long.stdout and short.stdout.startswith("NO VIOLATION FOUND")

    def test_piped_text_has_no_escapes_and_80_columns(self) -> None:
        text = golf(str(HONEST), "--no-probe", COLUMNS="200").stdout
        assert "\x1b" not in text and max(map(len, text.splitlines())) <= 80

    def test_json_is_alone_on_stdout_and_valid(self) -> None:
        run = golf(str(HONEST), "--format", "json", "--witness", "source,record")
        document = json.loads(run.stdout)
        jsonschema.Draft202012Validator(schema()).validate(document)
        assert document["verdict"] == "no_violation_found" and document["complete"] is False
        assert run.stderr == ""

    def test_files_and_the_terminal_together(self, tmp_path: Path) -> None:
        machine, page = tmp_path / "r.json", tmp_path / "r.md"
        formats = ("--format", f"json={machine}", "--format", f"markdown={page}", "--format", "text")
        run = golf(str(HONEST), "--no-probe", *formats)
        assert run.returncode == 0 and run.stdout.startswith("NO VIOLATION FOUND")
        assert json.loads(machine.read_text())["schema_version"] == 1
        assert page.read_text().startswith("## golf-audit: NO VIOLATION FOUND")

    def test_nothing_is_written_that_was_not_asked_for(self, tmp_path: Path) -> None:
        before = {p: p.stat().st_mtime_ns for p in HONEST.rglob("*")}
        golf(str(HONEST), "--no-probe", cwd=tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert {p: p.stat().st_mtime_ns for p in HONEST.rglob("*")} == before

    def test_show_source_in_every_position(self) -> None:
        folder = str(HONEST)
        texts = [
            golf(*arguments).stdout
            for arguments in (
                [folder, "--show-source"],
                ["--show-source", folder],
                [folder, "--show-source", "train_gpt.py"],
                ["audit", "--show-source", "train_gpt.py", folder],
            )
        ]
        assert len(set(texts)) == 1 and texts[0].startswith('     1  """A plain transformer')

    def test_as_of_is_in_the_report(self) -> None:
        document = json.loads(golf(str(HONEST), "--no-probe", "--format", "json", "--as-of", "2026-03-19").stdout)
        assert document["edition"] == "2026-03-19"
        assert any(r["outcome"] == "not_applicable" and "not in force" in r["reason"] for r in document["results"])

    def test_a_pipe_that_closes_is_quiet(self) -> None:
        command = f"{sys.executable} -m auditor.cli {HONEST} --no-probe --verbose | head -1; echo ${{PIPESTATUS[0]}}"
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
        assert run.stderr == "" and "Traceback" not in run.stdout
        assert run.stdout.startswith("NO VIOLATION FOUND") and run.stdout.endswith("\n0\n")

    @pytest.mark.parametrize(
        ("closed", "arguments", "code"), [(">&-", f"{HONEST} --no-probe", 0), ("2>&-", "no-such-folder", 2)]
    )
    def test_a_closed_stream_is_no_failure(self, closed: str, arguments: str, code: int) -> None:
        command = f"{sys.executable} -m auditor.cli {arguments} {closed}"
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
        assert run.returncode == code and run.stderr == ""

    def test_an_interrupt_is_one_line_and_130(self, tmp_path: Path) -> None:
        code = (
            "import sys, time, auditor.engine as e\n"
            "e.audit = lambda *a: (print('ready', flush=True), time.sleep(20))\n"
            "from auditor.cli import main; main(sys.argv[1:])\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(HONEST)],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=heeds_interrupts,
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 130 and errors == "golf-audit: interrupted\n"


class TestOwnFailure:
    """When the tool itself fails: exit 3, one line, a traceback only on request; never a report."""

    @pytest.mark.parametrize("extra", [[], ["--format", "json"], ["--verbose"]])
    def test_exit_3(
        self, extra: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from auditor import engine

        def broken(*_: object) -> None:
            raise RuntimeError("planted\nfault")

        monkeypatch.setattr(engine, "audit", broken)
        with pytest.raises(SystemExit) as stop:
            cli.main([str(HONEST), *extra])
        out, err = capsys.readouterr()
        assert stop.value.code == 3 and out == ""
        assert "the tool itself failed: RuntimeError: planted fault" in err
        assert ("Traceback" in err) is ("--verbose" in extra)


class TestPieces:
    """Pure parts."""

    @pytest.mark.parametrize("least", [v for v in Verdict if v is not Verdict.NO_VIOLATION_FOUND])
    @pytest.mark.parametrize("verdict", Verdict)
    def test_fail_on(self, verdict: Verdict, least: Verdict) -> None:
        severity = ["no_violation_found", "inconclusive", "needs_review", "non_compliant"]
        codes = {"no_violation_found": 0, "non_compliant": 1, "needs_review": 10, "inconclusive": 11}
        fails = severity.index(verdict) >= severity.index(least)
        assert cli.exit_code(verdict, least) == (codes[verdict] if fails else 0)

    def test_witnesses(self) -> None:
        default = (Witness.SOURCE, Witness.RECORD)
        assert cli.parse_witnesses("", default, False) == default
        assert cli.parse_witnesses("record, source,record", default, False) == (Witness.RECORD, Witness.SOURCE)
        assert cli.parse_witnesses("source,behaviour", default, True) == (Witness.SOURCE,)

    def test_files_are_written_before_the_terminal(self) -> None:
        assert cli_output.parse_formats(["text", "json=a"]) == [("json", "a"), ("text", None)]


class TestCatalogue:
    """``rules``, ``explain``, ``--version``, ``--help``."""

    def test_rules(self) -> None:
        run = golf("rules")
        assert run.returncode == 0 and "ttt-pre-quant" in run.stdout and "illegal" in run.stdout

    def test_explain(self) -> None:
        text = golf("explain", "ttt-pre-quant").stdout
        for part in (
            "ttt-pre-quant:",
            "Ruling:",
            "Authority:",
            "What it does:",
            "Known limits:",
            "Reported:",
            "Measured:",
        ):
            assert part in text, part

    def test_a_near_miss_is_helped(self) -> None:
        assert "ttt-pre-quant" in golf("explain", "ttt-prequant").stderr

    def test_version(self) -> None:
        assert golf("--version").stdout == f"golf-audit {__version__}\n"

    def test_help_names_the_exit_codes(self) -> None:
        text = " ".join(golf("--help").stdout.split())
        assert "10 needs review, 11 inconclusive" in text and "--witness" in golf("audit", "--help").stdout

    def test_help_is_quick_and_imports_nothing_heavy(self) -> None:
        code = (
            "import sys\nfrom auditor.cli import main\n"
            "try: main(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'libcst', 'scipy', 'numpy', 'torch', 'jinja2', 'sentencepiece', 'auditor.engine', 'rules'}\n"
            "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
        assert run.returncode == 0, run.stderr
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        golf("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
