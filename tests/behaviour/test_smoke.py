"""The smoke block: the full-size model is built without its memory, under the launch settings, and counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditor.behaviour import smoke
from auditor.behaviour.audit import code_bytes, why_not
from auditor.behaviour.host import RunLog
from auditor.behaviour.run import Run
from auditor.behaviour.scale.plan import plan
from auditor.behaviour.session import Session
from auditor.behaviour.smoke import Built, block, build, full_env, stated_parameters
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.wire import Event
from auditor.core.submission import Submission
from tests.support import make_submission

WORLD = make_world(WorldSpec(val_tokens=1025, train_tokens=600, train_shards=1))

HEAD = """import os
import torch
from torch import nn
WIDTH = int(os.environ.get("MODEL_DIM", 512))
LAYERS = int(os.environ.get("NUM_LAYERS", 9))
device = torch.device("cuda", 0)
class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up = nn.Linear(dim, 4 * dim, bias=False)
        self.gain = nn.Parameter(torch.ones(dim))
        nn.init.orthogonal_(self.up.weight)
class GPT(nn.Module):
    def __init__(self, dim, layers):
        super().__init__()
        self.embed = nn.Embedding(1024, dim)
        self.blocks = nn.ModuleList([Block(dim) for _ in range(layers)])
        self.head = nn.Linear(dim, 1024, bias=False)
        self.head.weight = self.embed.weight
"""
BUILDS = "model = GPT(WIDTH, LAYERS).to(device).bfloat16()\n"
STOPS = 'opt = torch.optim.AdamW(model.parameters(), lr=1e-3)\nraise SystemExit("never reached")\n'


def size(dim: int, layers: int) -> int:
    """Parameters of the script's model; the tied head counts once."""
    return 1024 * dim + layers * (4 * dim * dim + dim)


@pytest.fixture(scope="module")
def started() -> Iterator[Session]:
    """One guest for all scripts."""
    pytest.importorskip("torch")
    if reason := why_not(False):
        pytest.skip(reason)
    submission = make_submission({"train_gpt.py": HEAD})
    with Session(submission, plan(submission), WORLD) as session:
        yield session


def built(session: Session, submission: Submission) -> Built:
    toy = plan(submission)
    session.plan = toy
    session._write_files()
    return build(session, submission, toy)


def test_the_model_of_the_launch_is_counted(started: Session) -> None:
    submission = make_submission({"train_gpt.py": HEAD + BUILDS + STOPS}, env={"NUM_LAYERS": "30"})
    assert plan(submission).env["MODEL_DIM"] != "512", "the toy run is another size"
    answer = built(started, submission)
    assert (answer.parameters, answer.model, answer.reason) == (size(512, 30), "GPT", "")


def test_a_huge_model_needs_no_memory(started: Session) -> None:
    submission = make_submission({"train_gpt.py": HEAD + BUILDS + STOPS}, env={"MODEL_DIM": "65536"})
    assert built(started, submission).parameters == size(65536, 9), "154 billion"


def test_a_constant_that_the_plan_rewrites_is_counted_at_its_own_size(started: Session) -> None:
    script = HEAD.replace('int(os.environ.get("MODEL_DIM", 512))', "768").replace("WIDTH", "MODEL_DIM")
    submission = make_submission({"train_gpt.py": script + BUILDS.replace("WIDTH", "MODEL_DIM") + STOPS})
    assert built(started, submission).parameters == size(768, 9)


def test_a_constructor_that_reads_values_is_given_memory(started: Session) -> None:
    reads = "        self.scale = torch.ones(3).sum().item()\n"
    script = HEAD.replace("        nn.init.orth", f"{reads}        nn.init.orth")
    assert built(started, make_submission({"train_gpt.py": script + BUILDS + STOPS})).parameters == size(512, 9)


def test_a_forward_pass_stops_it_too(started: Session) -> None:
    script = HEAD + BUILDS + 'model(torch.zeros(1, 8, dtype=torch.long))\nraise RuntimeError("too late")\n'
    assert built(started, make_submission({"train_gpt.py": script})).parameters == size(512, 9)


def test_the_largest_module_is_the_model(started: Session) -> None:
    script = HEAD + "helper = Block(64)\n" + BUILDS + "after = Block(32)\n" + STOPS
    assert built(started, make_submission({"train_gpt.py": script})).model == "GPT"


def test_a_script_that_builds_nothing_says_why(started: Session) -> None:
    broken = make_submission({"train_gpt.py": HEAD + 'raise KeyError("no tokenizer")\n'})
    answer = built(started, broken)
    assert answer.parameters is None and answer.reason == "KeyError: 'no tokenizer' at train_gpt.py:20"
    assert built(started, make_submission({"train_gpt.py": "x = 1\n"})).reason == "no module was constructed"


def test_a_script_that_hangs_is_stopped(started: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "WALL_SECONDS", 0.5)
    answer = built(started, make_submission({"train_gpt.py": "while True: pass\n"}))
    assert answer.parameters is None and answer.reason == "timed out"


def test_the_launch_settings_come_back() -> None:
    submission = make_submission({"train_gpt.py": HEAD}, env={"NUM_LAYERS": "11", "OTHER": "x"})
    toy = plan(submission)
    env = full_env(submission, toy)
    assert env["NUM_LAYERS"] == "11" and env["OTHER"] == "x" and "MODEL_DIM" not in env
    assert toy.env["NUM_LAYERS"] != "11"


def run(*kinds: str, **finished: object) -> Run:
    events = [Event(kind, n, {}, {}) for n, kind in enumerate(kinds)]
    return Run(RunLog(events, 0, finished=dict(finished), seconds=1.5), WORLD.val, WORLD.spec)


SCRIPT = make_submission({"train_gpt.py": "x = 1\n", "model.py": "y = 2\n", "train.log": "model_params: 27,030,107\n"})


@pytest.mark.parametrize(
    ("told", "imports", "learns"),
    [
        (None, None, None),
        (run("Scored", "Trained", status="ended"), True, True),
        (run("Loaded", status="failed", error="KeyError", frames=[]), True, False),
        (run(status="failed", error="ModuleNotFoundError", frames=[["/golf/run/train_gpt.py", 3, "<module>", ""]]),
         False, False),
        (run(status="failed", error="ValueError", frames=[["/golf/run/train_gpt.py", 3, "main", ""]]), True, False),
        (run(status="failed", error="ValueError", frames=[["/golf/run/train_gpt.py", 3, "<module>", ""]]), None, False),
        (run("Scored", status="ended"), True, None),
    ],
)  # fmt: skip
def test_what_run_a_shows(told: Run | None, imports: bool | None, learns: bool | None) -> None:
    answer = block(SCRIPT, told, None)
    assert (answer.imports, answer.forward_backward) == (imports, learns)
    assert answer.builds is None and answer.parameters is None and answer.code_bytes == 12 == code_bytes(SCRIPT)


def test_a_size_that_the_log_does_not_state_is_noted() -> None:
    assert stated_parameters(SCRIPT) == (27_030_107,)
    assert block(SCRIPT, None, Built(27_030_107, "GPT")).notes == ()
    [note] = block(SCRIPT, None, Built(29_919_324, "GPT")).notes
    assert "27,030,107" in note and "29,919,324" in note
    assert "not built: KeyError" in block(SCRIPT, None, Built(None, reason="KeyError: x")).notes[0]
