"""Plans from small scripts: every spelling of a knob, rewriting in place, world, paths, launch settings."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from auditor.behaviour.scale import Plan, plan
from auditor.behaviour.scale.plan import knobs
from auditor.core.syntax import parse_python
from tests.support import make_submission

DIMS = 'import os\nclass Hyperparameters:\n    model_dim = int(os.environ.get("MODEL_DIM", 512))\n'


def made(text: str, env: dict[str, str] | None = None, argv: tuple[str, ...] = (), **files: str) -> Plan:
    named = {name.replace("__", "."): content for name, content in files.items()}
    submission = make_submission({"train_gpt.py": text, **named}, env=env or {})
    return plan(replace(submission, launch=replace(submission.launch, argv=argv)))


SPELLINGS = [
    'n = int(os.environ.get("ITERATIONS", 20000))',
    'n = int(os.environ.get("ITERATIONS", "20000"))',
    'n = int(os.getenv("ITERATIONS", "20_000"))',
    'n = int(os.environ.get("ITERATIONS", str(10_000 * 2)))',
    'D = 20000\nn = int(os.environ.get("ITERATIONS", D))',
    '_E = os.environ.get\nn = int(_E("ITERATIONS", 20000))',
    "def setting(name, default):\n    return type(default)(os.environ.get(name, default))\n"
    'n = setting("ITERATIONS", 20000)',
    'pick = lambda k, d: int(os.environ.get(k, d))\nn = pick("ITERATIONS", 20000)',
    'class H:\n    n: int = int(os.environ.get("ITERATIONS", 20000))',
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_an_environment_variable_is_read(text: str) -> None:
    found = made(f"import os\n{text}\n")
    assert found.env["ITERATIONS"] == "6"
    assert [(c.name, c.role, c.how) for c in found.changes] == [("ITERATIONS", "iterations", "env")]
    assert float(found.changes[0].old or 0) == 20000


CONSTANTS = [
    ("NGRAM_BUCKETS = 1 << 22", "NGRAM_BUCKETS = 256"),
    ("ngram_buckets = 4_194_304  # wide", "ngram_buckets = 256  # wide"),
    ("class H:\n    train_seq_len: int = 2048", "class H:\n    train_seq_len: int = 128"),
    ("def f(x, stride=256, batch_seqs: int = 96): pass", "def f(x, stride=64, batch_seqs: int = 32): pass"),
    ("def f(x, min_tokens: int = 5000): pass", "def f(x, min_tokens: int = 64): pass"),
    ("f(1, n_samples=64, seq_len=2048)", "f(1, n_samples=2, seq_len=128)"),
    ('C = {"model_dim": 512, "lr": 3}', 'C = {"model_dim": 32, "lr": 3}'),
    ("A, eval_stride = 7, 256", "A, eval_stride = 7, 64"),
    ("é = 'é'; max_steps = 9000; ö = 2", "é = 'é'; max_steps = 6; ö = 2"),
    ("if t.numel() <= 65536: pass", "if t.numel() <= 256: pass"),
    ("from dataclasses import field\nclass H:\n    ttt_epochs: int = field(default=30)",
     "from dataclasses import field\nclass H:\n    ttt_epochs: int = field(default=2)"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CONSTANTS)
def test_a_constant_is_replaced_where_it_stands(before: str, after: str) -> None:
    found = made(DIMS + before + "\n")
    assert found.files["train_gpt.py"] == DIMS + after + "\n"


def test_micro_batches_of_one_process_for_eight_are_cut() -> None:
    text = DIMS + 'b = int(os.environ.get("TRAIN_BATCH_TOKENS", 524288))\ngrad_accum_steps = 8 // world_size\n'
    found = made(text)
    assert found.files["train_gpt.py"].endswith("grad_accum_steps = 2 // world_size\n")
    assert found.env["TRAIN_BATCH_TOKENS"] == "512"


def test_validation_before_the_end_is_skipped_only_where_zero_means_that() -> None:
    text = DIMS + 'val_loss_every = int(os.environ.get("VAL_LOSS_EVERY", 1000))\n'
    guarded = text + "v = last_step or (args.val_loss_every > 0 and step % args.val_loss_every == 0)\n"
    assert made(guarded).env["VAL_LOSS_EVERY"] == "0"
    assert made(text + "v = args.val_loss_every > 0 and last_step\n").env["VAL_LOSS_EVERY"] == "1000000"


STAYING = [
    "use_ttt = 1", "ema_decay = 0.997", "ttt_enabled = True", "seed = 1337", "x = f(dim=-1)", "y = t.sum(dim=1)",
    "MAGIC = 20240520", "block_size = lambda: 1024", "def gptq(w, block_size=128, percdamp=0.01): pass",
    "clip_range = 31", "ttt_lr: float = 500.0", "log_every = 100", "f(batch_size=None)", "n_epochs = 0",
]  # fmt: skip


@pytest.mark.parametrize("line", STAYING)
def test_what_is_no_size_stays_as_written(line: str) -> None:
    assert made(DIMS + line + "\n").files["train_gpt.py"] == DIMS + line + "\n"


def test_lines_keep_their_numbers_and_everything_else_its_meaning() -> None:
    text = DIMS + 'x = (\n    1 <<\n    22)\nstride = 256\n"""\nstride = 256\n"""\n'
    text += "def f(seq_len=2048):\n    return seq_len\n"
    found = made(text).files["train_gpt.py"]
    old, new = ast.walk(ast.parse(text)), ast.walk(ast.parse(found))
    for a, b in zip(old, new, strict=True):
        assert type(a) is type(b) and getattr(a, "lineno", 0) == getattr(b, "lineno", 0)
    assert found.count("stride = 256") == 1  # the one in the text


def test_a_rewrite_is_a_change_with_its_place() -> None:
    change = next(c for c in made(DIMS + "ngram_buckets = 4194304\n").changes if c.how == "rewrite")
    assert (change.name, change.old, change.new, change.where) == ("ngram_buckets", "4194304", "256", "train_gpt.py:4")


def test_the_launch_decides_and_is_listed() -> None:
    text = DIMS + 'ttt = os.environ.get("TTT_ENABLED", "0")\nepochs = int(os.environ.get("TTT_EPOCHS", 1))\n'
    found = made(text, env={"TTT_ENABLED": "1", "TTT_EPOCHS": "10"})
    assert found.env["TTT_ENABLED"] == "1" and found.env["TTT_EPOCHS"] == "2"
    assert ("TTT_ENABLED", "1", "run_script: run.sh:1") in found.settings
    assert "TTT_EPOCHS" not in made(text).env


def test_a_launch_value_that_the_script_cannot_read_is_trimmed_or_dropped_with_a_note() -> None:
    text = DIMS + 'w = int(os.environ.get("WARMDOWN_ITERS", 3000))\nlr = float(os.environ.get("MATRIX_LR", 0.02))\n'
    found = made(text, env={"WARMDOWN_ITERS": "3500,", "MATRIX_LR": "high"})
    assert "MATRIX_LR" not in found.env and found.env["WARMDOWN_ITERS"].isdigit()
    assert any("MATRIX_LR=high" in note for note in found.notes)


def test_options_of_argparse() -> None:
    text = (
        "import argparse\np = argparse.ArgumentParser()\n"
        'p.add_argument("--iterations", type=int, default=9000)\n'
        'p.add_argument("--train-seq-len", type=int, default=1024)\n'
        'p.add_argument("--lr", type=float, default=0.1)\n'
    )
    assert made(text).argv == ("--iterations", "6", "--train-seq-len", "128")
    assert made(text, argv=("--iterations=500", "--lr", "0.2")).argv[:3] == ("--iterations=6", "--lr", "0.2")


def test_modules_are_planned_too_and_the_rest_is_copied() -> None:
    found = made(DIMS + "import cache\n", cache__py="BUCKETS = 1 << 22\n", table__json="{}", train__log="step:1")
    assert found.files["cache.py"] == "BUCKETS = 256\n"
    assert "table.json" in found.copies and "train.log" not in found.copies


@pytest.mark.parametrize(
    ("lines", "vocab", "kind", "bos"),
    [
        ('v = int(os.environ.get("VOCAB_SIZE", 1024))', 1024, "bpe", 1),
        ('v = int(os.environ.get("VOCAB_SIZE", 8192))\nBOS_ID = 2', 1024, "bpe", 2),
        ("class H:\n    vocab_size = 4096", 1024, "bpe", 1),
        ('v = int(os.environ.get("VOCAB_SIZE", 260))', 260, "bytes", 1),
        ('v = int(os.environ.get("VOCAB_SIZE", 8192))\nc = os.environ.get("CASEOPS_ENABLED", "1")', 1024, "caseops", 1),
    ],
)
def test_the_world_is_the_one_that_the_script_expects(lines: str, vocab: int, kind: str, bos: int) -> None:
    world = made(DIMS + lines + "\n").world
    assert (world.vocab_size, world.tokenizer, world.bos_id) == (vocab, kind, bos)


def test_a_default_that_hangs_on_a_branch_follows_the_launch() -> None:
    text = (
        'import os\nkind = os.environ.get("KIND", "small").lower()\n'
        'if kind == "large":\n    size = 8192\nelse:\n    size = 1024\n'
        'vocab_size = int(os.environ.get("VOCAB_SIZE", str(size)))\n'
    )
    assert made(text).world.vocab_size == 1024
    assert made(text, env={"KIND": "Large"}).env["VOCAB_SIZE"] == "1024"


def test_a_batch_holds_the_longest_sequence() -> None:
    text = DIMS + (
        'a = int(os.environ.get("PROG_SEQ_PHASE1_LEN", 512))\nb = int(os.environ.get("TRAIN_SEQ_LEN", 2048))\n'
        't = int(os.environ.get("TRAIN_BATCH_TOKENS", 786432))\ngrad_accum_steps = 8 // world_size\n'
    )
    env = made(text).env
    assert int(env["TRAIN_BATCH_TOKENS"]) // 2 >= int(env["TRAIN_SEQ_LEN"]) == 512


def test_data_paths_by_default_by_constant_and_by_launch() -> None:
    text = DIMS + (
        'd = os.environ.get("DATA_PATH", "./data/datasets/fineweb10B_sp1024")\n'
        't = os.environ.get("TOKENIZER_PATH", "/workspace/tok/fineweb_1024_bpe.model")\n'
        'from pathlib import Path\nv = Path("/mnt/data") / "fineweb_val_000000.bin"\n'
    )
    found = made(text)
    assert "data/datasets/fineweb10B_sp1024" in found.data_paths.data_dirs
    assert "/mnt/data" in found.data_paths.data_dirs
    assert "/workspace/tok/fineweb_1024_bpe.model" in found.data_paths.tokenizer_paths
    assert found.env["TOKENIZER_PATH"] == "/golf/run/data/tokenizers/fineweb_1024_bpe.model"
    moved = made(text, env={"DATA_PATH": "/root/x/data/datasets/fineweb10B_sp1024"})
    assert moved.env["DATA_PATH"] == "/golf/run/data/datasets/fineweb10B_sp1024"


def test_what_the_script_requires_is_given() -> None:
    reads = 'r = int(os.environ["RANK"])\nd = os.environ["DATA_PATH"]\nos.environ["OMP_NUM_THREADS"] = "1"\n'
    found = made(DIMS + reads)
    assert found.env["RANK"] == "0" and found.env["DATA_PATH"].startswith("/golf/run/data/datasets/")
    assert "RANK" not in made(DIMS + 'r = "RANK" in os.environ\n').env


def test_python_312_strings_run_on_311() -> None:
    text = "from __future__ import annotations\nimport os\nd = {'a': 3}\ns = f'{d['a']:>4}|{d['a']!r}|{'x'}'\n"
    text += "max_steps = 9000\n"
    found = made(text).files["train_gpt.py"]
    scope: dict[str, object] = {}
    exec(compile(found, "train_gpt.py", "exec"), scope)  # our own text
    assert scope["s"] == "   3|3|x" and scope["max_steps"] == 6
    assert found.count("\n") == text.count("\n") and not parse_python(found).rewritten


def test_no_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="no training script"):
        plan(make_submission({"README.md": "nothing"}))


def test_a_script_that_does_not_parse_is_handed_on_unchanged() -> None:
    found = made("import os\nITERATIONS = (\n")
    assert found.files["train_gpt.py"] == "import os\nITERATIONS = (\n" and not found.changes


def test_planted_an_unknown_helper_is_not_taken_for_a_knob() -> None:
    """A call that merely looks like one must not be believed: nothing of it reads the environment."""
    submission = make_submission({"train_gpt.py": 'def label(n, d):\n    return d\nx = label("ITERATIONS", 20000)\n'})
    assert not [k for k in knobs(submission) if k.how == "env"]
