"""The guest, with scripts of our own: what is recorded, how runs end, and what a hostile script cannot do."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from auditor.behaviour.host import GuestGone, RunLog
from auditor.behaviour.run import Run
from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.session import Session
from auditor.behaviour.tallies import by_hand
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.wire import WireError
from auditor.core.submission import Submission
from auditor.sandbox import Level, detect
from tests.support import make_submission

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(detect().level is Level.NONE, reason=f"nothing isolates here: {detect().reason}")

LOAD = """
import glob, os, sys, time
import numpy as np, torch, torch.nn.functional as F
val = np.fromfile(sorted(glob.glob("./data/datasets/fineweb10B_sp1024/fineweb_val_*.bin"))[0], dtype="<u2", offset=1024)
tokens = torch.from_numpy(val.astype(np.int64)).cuda()
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Embedding(1024, 16), torch.nn.Linear(16, 1024)).to("cuda")
x, y = tokens[:1024].reshape(8, 128), tokens[1:1025].reshape(8, 128)
def nll(**kw):
    return F.cross_entropy(model(x).reshape(-1, 1024), y.reshape(-1), **kw)
"""


def script(body: str) -> str:
    """A whole script."""
    return LOAD + textwrap.dedent(body)


def submission(text: str) -> Submission:
    """A submission of one script."""
    return make_submission({"train_gpt.py": text})


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One guest for all tests; each brings its own script."""
    first = submission(script("print('nothing')"))
    made = make_plan(first)
    with Session(first, made, make_world(made.world)) as started:
        yield started


def run(session: Session, body: str, seconds: float = 20.0, **more: object) -> Run:
    """Run one body."""
    made = make_plan(submission(script(body)))
    log = session.run(session.world.val, seconds, plan=replace(made, world=session.plan.world), **more)  # type: ignore[arg-type]
    return Run(log, session.world.val, session.world.spec)


WAYS_TO_ADD_UP = {
    "mean of a call": "with torch.no_grad(): loss = nll().item()",
    "slices summed in float64": """
        with torch.inference_mode():
            rows = nll(reduction="none").reshape(8, 128)
            loss = sum(rows[i, :128].to(torch.float64).sum() for i in range(8)).item() / 1024""",
    "gather of log_softmax": """
        with torch.no_grad():
            logp = torch.log_softmax(model(x).float(), -1)
            loss = -logp.gather(-1, y.unsqueeze(-1)).squeeze(-1).mean().item()""",
    "logsumexp less the own logit": """
        with torch.no_grad():
            z = model(x).reshape(-1, 1024); t = y.reshape(-1)
            loss = (torch.logsumexp(z, -1) - z[torch.arange(1024), t]).mean().item()""",
    "numpy": """
        with torch.no_grad():
            rows = nll(reduction="none").cpu().numpy().astype(np.float64)
        loss = float(np.exp(np.log(np.clip(rows, 1e-9, None))).sum()) / 1024""",
    "python floats": """
        with torch.no_grad():
            rows = nll(reduction="none").tolist()
        total = 0.0
        for value in rows:
            total += value
        loss = total / 1024""",
}


@pytest.mark.parametrize("way", WAYS_TO_ADD_UP)
def test_the_printed_loss_is_traced_to_its_scores(session: Session, way: str) -> None:
    told = run(session, textwrap.dedent(WAYS_TO_ADD_UP[way]) + "\nprint(f'final val_loss:{float(loss):.8f}')")
    assert told.log.ended, told.log.failure()
    assert told.judged is not None and told.judged.matched
    assert sorted(told.judged.positions.tolist()) == list(range(1, 1025))
    assert by_hand(told.events, told.judged.seqs.tolist()) is (way in ("numpy", "python floats"))


def test_a_printed_number_that_no_scores_make_is_not_matched(session: Session) -> None:
    told = run(session, "with torch.no_grad(): loss = nll().item()\nprint(f'final val_loss:{loss - 0.01:.8f}')")
    assert told.judged is not None and not told.judged.matched


def test_a_backward_names_the_scores_it_came_from(session: Session) -> None:
    body = """
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad(): nll()
    nll().backward(); opt.step()
    """
    told = run(session, body)
    kinds = Counter(e.kind for e in told.events)
    assert kinds["Trained"] == 1 and kinds["Stepped"] == 1 and kinds["Scored"] == 2
    trained = next(e for e in told.events if e.kind == "Trained")
    second = [e for e in told.events if e.kind == "Scored"][1]
    assert [int(g[0]) for g in trained.fields["groups"]] == [second.fields["first"]]


def test_the_same_run_twice_tells_the_same(session: Session) -> None:
    body = """
    import random, tempfile, uuid
    print(uuid.uuid4(), random.random(), os.getpid(), time.time(), tempfile.mktemp(), np.random.default_rng().random())
    print(torch.rand(1).item(), hash("x"), sorted(os.listdir(".")), os.stat("train_gpt.py").st_mtime)
    open("left_behind.txt", "w").write("x")
    """
    one, two = run(session, body), run(session, body)
    texts = [[e.fields["text"] for e in r.events if e.kind == "Printed"] for r in (one, two)]
    assert texts[0] == texts[1] and len(texts[0]) == 2


def test_a_run_can_be_stopped_at_a_moment(session: Session) -> None:
    body = "for i in range(5):\n    with torch.no_grad(): nll()\nprint('late val_loss:1.25')"
    whole = run(session, body)
    scored = [e for e in whole.events if e.kind == "Scored"]
    file, line, _ = scored[0].fields["site"]
    short = run(session, body, stop_after=("Scored", file, line, 2))
    assert short.log.ended and sum(e.kind == "Scored" for e in short.events) == 3 and not short.reports
    assert all(np.array_equal(a.arrays["loss"], b.arrays["loss"]) for a, b in zip(scored, short.events, strict=False)
               if a.kind == b.kind)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no such thing')", "ValueError: no such thing at train_gpt.py"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("os.kill(int(os.readlink('/proc/self')), 9)", "ended without a word"),
        ("os._exit(7)", "ended without a word"),
        ("while True: pass", "timed out"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_a_run_that_does_not_end_well_says_how(session: Session, body: str, said: str) -> None:
    told = run(session, body, seconds=2.0)
    assert not told.log.ended and said in told.log.failure()


def hostile(body: str) -> RunLog:
    """Run ``body`` in a guest of its own."""
    sub = submission(script(body))
    made = make_plan(sub)
    with Session(sub, made, make_world(made.world)) as started:
        return started.run(started.world.val, 5.0)


@pytest.mark.parametrize("junk", ["b'\\\\xff' * 4096", "b'\\\\x02\\\\x00\\\\x00\\\\x00[]'"])
def test_junk_in_the_channel_is_an_error_and_never_a_result(junk: str) -> None:
    body = f"for fd in range(3, 64):\n    try: os.write(fd, {junk})\n    except OSError: pass\nprint('val_loss:1.0')"
    with pytest.raises((WireError, GuestGone)):
        hostile(body)


def test_nothing_of_a_run_reaches_the_next(session: Session) -> None:
    leave = """
        places = ["/tmp/left", "/dev/shm/left", os.path.expanduser("~/left"), "/golf/run/left"]
        left = [p for p in places if os.path.exists(p)]
        running = [n for n in os.listdir("/proc") if n.isdigit()]
        for place in places:
            open(place, "w").close()
        if os.fork() == 0:
            os.setsid()
            while True:
                time.sleep(1000.0)
        print("left", left, "running", len(running))
    """
    lines = [[e.fields["text"] for e in run(session, leave).events if e.kind == "Printed"] for _ in range(2)]
    assert lines[0] == lines[1] and "left []" in lines[0][0]
