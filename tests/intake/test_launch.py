from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditor.core.submission import Launch
from auditor.intake import load_submission
from auditor.intake.knobs import knobs_of, to_env
from tests.intake.conftest import Make

SCRIPT = '''
import os


class Hyperparameters:
    seed = int(os.environ.get("SEED", 1337))
    ttt_enabled = bool(int(os.environ.get("TTT_ENABLED", "0")))
    ttt_epochs = int(os.environ.get("TTT_EPOCHS", 3))
    ttt_lr = float(os.environ.get("TTT_LR", 0.1))
    ttt_mode = os.environ.get("TTT_MODE", "none")
    slot = os.environ.get("SLOT", "0") == "1"
    preset = os.environ.get("MODEL_PRESET", "plain").lower()


def log0(text):
    print(text)


def adapt(args):
    log0(f"adapting: epochs {args.ttt_epochs}")


def main():
    args = Hyperparameters()
    log0(f"seed:{args.seed}")
    if args.ttt_enabled:
        adapt(args)
    if args.ttt_mode == "lora":
        log0("lora: starting with rank")
'''
LOG = "world_size:8 grad_accum_steps:1\nseed:42\nstep:1/20 train_loss:6.9\nstep:20/20 val_loss:2.1 val_bpb:1.2\n"


def _launch(make: Make, files: dict[str, str | bytes]) -> Launch:
    return load_submission(make({"train_gpt.py": SCRIPT, **files})).launch


def _env(launch: Launch) -> dict[str, str]:
    return {name: setting.value for name, setting in launch.env.items()}


def test_nothing_stated_gives_nothing(make: Make) -> None:
    assert _launch(make, {}) == Launch()


def test_the_readme_command(make: Make) -> None:
    launch = _launch(
        make,
        {
            "README.md": "# X\n## Run\n```bash\nTTT_ENABLED=1 TTT_EPOCHS=5 \\\n"
            "torchrun --nproc_per_node=8 train_gpt.py\n```\n"
        },
    )
    assert _env(launch) == {"TTT_ENABLED": "1", "TTT_EPOCHS": "5"}
    assert (launch.env["TTT_ENABLED"].how, str(launch.env["TTT_ENABLED"].origin)) == ("readme", "README.md:4")
    assert launch.world_size == 8


def test_a_run_script(make: Make) -> None:
    launch = _launch(
        make, {"run.sh": "#!/bin/bash\nexport TTT_ENABLED=1\ntorchrun --nproc_per_node=8 train_gpt.py --x 1\n"}
    )
    assert _env(launch) == {"TTT_ENABLED": "1"} and launch.env["TTT_ENABLED"].how == "run_script"
    assert launch.argv == ("--x", "1")


def test_an_ablation_does_not_pollute(make: Make) -> None:
    readme = (
        "## Ablation without TTT\n```\nTTT_ENABLED=0 TTT_LR=9 torchrun --nproc_per_node=8 train_gpt.py\n```\n"
        "## Reproduction\n```\nTTT_ENABLED=1 torchrun --nproc_per_node=8 train_gpt.py\n```\n"
    )
    launch = _launch(make, {"README.md": readme})
    assert _env(launch) == {"TTT_ENABLED": "1"}
    assert any("not taken: README.md:3 with TTT_ENABLED=0 TTT_LR=9" in note for note in launch.notes)


def test_the_logs_choose_between_two_commands(make: Make) -> None:
    readme = (
        "## Run\n```\nMODEL_PRESET=a torchrun train_gpt.py\n```\n"
        "```\nMODEL_PRESET=b TTT_LR=7 torchrun train_gpt.py\n```\n"
    )
    launch = _launch(make, {"README.md": readme, "train.log": "model_preset:b\n" + LOG})
    assert _env(launch) == {"MODEL_PRESET": "b", "TTT_LR": "7"}


def test_commands_of_other_scripts_are_not_launches(make: Make) -> None:
    readme = "## Run\n```\nDATA=1 python prepare_data.py\nTTT_LR=2 python eval_only.py\n```\n"
    assert _env(_launch(make, {"README.md": readme, "eval_only.py": "x = 1\n", "prepare_data.py": "x = 1\n"})) == {}


def test_a_block_of_assignments_counts_when_nothing_launches(make: Make) -> None:
    readme = "## Configuration\n```\nTTT_ENABLED=1\nUNKNOWN_NAME=3\n```\n"
    assert _env(_launch(make, {"README.md": readme})) == {"TTT_ENABLED": "1"}


def test_submission_json_settings(make: Make) -> None:
    meta = {"val_bpb": 1.2, "env": {"TTT_LR": 0.5, "X": [1]}, "hyperparameters": {"ttt_enabled": True, "other": 3}}
    launch = _launch(make, {"submission.json": json.dumps(meta)})
    assert _env(launch) == {"TTT_LR": "0.5", "TTT_ENABLED": "1"}
    assert launch.env["TTT_LR"].origin.field == "env.TTT_LR"


def test_a_dump_of_hyperparameters_wins_over_the_readme(make: Make) -> None:
    log = "Hyperparameters:\n  seed: 42\n  ttt_enabled: True\n  ttt_epochs: 9\n  slot: True\n  data_dir: ./data\n" + LOG
    readme = "## Run\n```\nTTT_ENABLED=0 torchrun train_gpt.py\n```\n"
    launch = _launch(make, {"README.md": readme, "train.log": log})
    assert _env(launch) == {"TTT_ENABLED": "1", "TTT_EPOCHS": "9", "SLOT": "1"}
    assert launch.logged["ttt_enabled"].value == "True" and str(launch.logged["ttt_enabled"].origin) == "train.log:3"
    assert any("README.md:3 says 0, train.log:3 says True" in note for note in launch.notes)


def test_logs_that_differ_are_not_taken(make: Make) -> None:
    head = "Hyperparameters:\n  ttt_epochs: {}\n"
    launch = _launch(make, {"a_seed1.log": head.format(3) + LOG, "b_seed2.log": head.format(5) + LOG})
    assert "ttt_epochs" not in launch.logged and any("differ in ttt_epochs" in note for note in launch.notes)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ttt_enabled:True ttt_epochs:7", "True"),
        ("ttt: enabled=1 epochs=3", "1"),
        ("config {'ttt_enabled': True}", "True"),
        ("Namespace(ttt_enabled=False, x=1)", "False"),
        ("ttt_enabled:enabled", "True"),
    ],
)
def test_single_tokens_of_known_names(make: Make, line: str, value: str) -> None:
    assert _launch(make, {"train.log": f"{line}\n{LOG}"}).logged["ttt_enabled"].value == value


@pytest.mark.parametrize(
    "line",
    [
        "ttt_off:True",
        "params:{'ttt_enabled': 3}",
        '    ttt_enabled = bool(int(os.environ.get("TTT_ENABLED", "0")))',
        "see x.ttt_enabled:True",
    ],
)
def test_other_tokens_are_left_alone(make: Make, line: str) -> None:
    assert "ttt_enabled" not in _launch(make, {"train.log": f"{line}\n{LOG}"}).logged


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("preset:192,576", "192,576"),
        ("preset=9,10, ttt_epochs=3", "9,10"),
        ("preset:plain,ttt_epochs:3", "plain"),
        ("preset:3,4:x", "3"),
    ],
)
def test_a_list_of_numbers_is_one_value(make: Make, line: str, value: str) -> None:
    assert _launch(make, {"train.log": f"{line}\n{LOG}"}).logged["preset"].value == value


def test_a_token_with_two_values_is_not_taken(make: Make) -> None:
    assert "ttt_lr" not in _launch(make, {"train.log": f"chunk 1 ttt_lr:0.1\nchunk 2 ttt_lr:0.2\n{LOG}"}).logged


def test_a_log_line_proves_the_flag_that_it_stands_under(make: Make) -> None:
    launch = _launch(make, {"train.log": LOG + "adapting: epochs 3\nlora: starting with rank 8\n"})
    assert _env(launch) == {"TTT_ENABLED": "1", "TTT_MODE": "lora"}
    assert str(launch.env["TTT_ENABLED"].origin) == "train.log:5"


COMMAND = "## Run\n```bash\nTTT_ENABLED={} TTT_EPOCHS=4 torchrun --nproc_per_node=8 train_gpt.py\n```\n"


@pytest.mark.parametrize(("stated", "proving", "expected"), [("0", 1, "0"), ("0", 2, "1"), ("1", 1, "1")])
def test_a_few_logs_do_not_overrule_the_command(make: Make, stated: str, proving: int, expected: str) -> None:
    lines = "adapting: epochs 3\n"
    logs = {f"train_seed{n}.log": LOG + (lines if n < proving else "") for n in range(3)}
    env = _env(_launch(make, {**logs, "README.md": COMMAND.format(stated)}))
    assert env["TTT_ENABLED"] == expected


def test_planted_a_few_logs_still_prove_what_the_command_leaves_open(make: Make) -> None:
    logs = {f"train_seed{n}.log": LOG + ("adapting: epochs 3\n" if n < 1 else "") for n in range(3)}
    readme = COMMAND.replace("TTT_ENABLED={} ", "")
    assert _env(_launch(make, {**logs, "README.md": readme}))["TTT_ENABLED"] == "1"


def test_a_line_that_is_printed_elsewhere_too_proves_nothing(make: Make) -> None:
    more = SCRIPT + "\n\ndef other():\n    print('adapting: epochs by hand')\n"
    launch = load_submission(make({"train_gpt.py": more, "train.log": LOG + "adapting: epochs 3\n"})).launch
    assert _env(launch) == {}


PIECES = """
def chunked(args):
    use_slot = args.slot_enabled
    print(f"ttt_sliding:start chunks={3} lr={args.ttt_lr}" f"{f' slot_lr={args.slot_lr}' if use_slot else ' none'}")
    print(f"table:filled orders={4}{' mixing' if args.mix_enabled else ''}")
"""
FLAGS = (
    "import os\nclass H:\n    slot_enabled = bool(int(os.environ.get('SLOT_ENABLED', '0')))\n"
    "    mix_enabled = bool(int(os.environ.get('MIX_ENABLED', '0')))\n"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("table:filled orders=4 mixing", {"MIX_ENABLED": "1"}),
        ("table:filled orders=4", {}),
        ("another line that says mixing", {}),
        ("ttt_sliding:start chunks=3 lr=0.1 slot_lr=0.2", {}),
    ],
)
def test_a_piece_of_a_line_proves_the_flag_that_adds_it(make: Make, line: str, expected: dict[str, str]) -> None:
    files: dict[str, str | bytes] = {"train_gpt.py": FLAGS + PIECES, "train.log": f"{LOG}{line}\n"}
    assert _env(load_submission(make(files)).launch) == expected


def test_a_copy_of_a_flag_is_the_flag(make: Make) -> None:
    text = FLAGS + PIECES.replace("' none'", "''")
    line = "ttt_sliding:start chunks=3 lr=0.1 slot_lr=0.2\n"
    assert _env(load_submission(make({"train_gpt.py": text, "train.log": LOG + line})).launch) == {"SLOT_ENABLED": "1"}
    twice = text.replace("use_slot = args.slot_enabled", "use_slot = args.slot_enabled\n    use_slot = 1")
    assert _env(load_submission(make({"train_gpt.py": twice, "train.log": LOG + line})).launch) == {}


def test_what_a_wrapper_forces_wins_and_its_defaults_do_not(make: Make) -> None:
    shim = (
        "import os, runpy\nos.environ['TTT_ENABLED'] = '1'\nos.environ.setdefault('TTT_LR', '3')\n"
        "runpy.run_path('real.py')\n"
    )
    readme = "## Run\n```\nTTT_ENABLED=0 TTT_LR=4 torchrun train_gpt.py\n```\n"
    submission = load_submission(make({"train_gpt.py": shim, "real.py": SCRIPT, "README.md": readme}))
    assert submission.entry is not None and submission.entry.path == "real.py"
    assert _env(submission.launch) == {"TTT_ENABLED": "1", "TTT_LR": "4"}
    assert submission.launch.env["TTT_ENABLED"].how == "preset"


def test_a_launcher_in_python(make: Make) -> None:
    launcher = (
        "import os, subprocess, sys\nos.environ['TTT_LR'] = '6'\nsubprocess.run([sys.executable, 'train_gpt.py'])\n"
    )
    assert _env(_launch(make, {"run_final.py": launcher})) == {"TTT_LR": "6"}


def test_assignments_echoed_into_a_log(make: Make) -> None:
    assert _env(_launch(make, {"train.log": "TTT_ENABLED=1 TTT_LR=5\n" + LOG})) == {"TTT_ENABLED": "1", "TTT_LR": "5"}


def test_knobs_know_variable_attribute_and_kind() -> None:
    knobs = knobs_of(
        [
            SCRIPT,
            "import os\ny = _env_bool('USE_IT', True)\nz = os.environ['RAW']\nq = max(1, int(os.getenv('N', '2')))",
        ]
    )
    assert knobs.env["TTT_ENABLED"] == "ttt_enabled" and knobs.kinds["TTT_ENABLED"] == "int"
    assert knobs.kinds["SLOT"] == "flag=1" and knobs.kinds["USE_IT"] == "bool"
    assert knobs.env["RAW"] == "z" and knobs.env["N"] == ""
    assert "preset" in knobs.names and "os" not in knobs.names


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "True", "1"),
        ("int", "600.0", "600"),
        ("int", "0.5", None),
        ("flag=yes", "True", "yes"),
        ("bool", "false", "0"),
        ("float", "1e-3", "1e-3"),
        ("float", "x", None),
        ("str", "./data", None),
        ("str", "lora", "lora"),
    ],
)
def test_logged_values_as_variables(kind: str, value: str, expected: str | None) -> None:
    assert to_env(kind, value) == expected


def test_hostile_readmes_do_not_hang(make: Make, tmp_path: Path) -> None:
    readme = "```\n" + "A=" + "\\\n" * 30_000 + "'" * 30_000 + "\n" + "`" * 30_000 + "|" * 30_000 + "${" * 20_000
    assert _env(_launch(make, {"README.md": readme})) == {}


def test_prose_about_another_run_sets_nothing(make: Make) -> None:
    readme = "## Run\nSet `TTT_ENABLED=0` to disable it; TTT_LR=9 was worse.\n- without it: `TTT_EPOCHS=1`\n"
    readme += "- a `TTT_MODE=lora` smoke log\nOther toggles: `SLOT=1`.\n"
    assert _env(_launch(make, {"README.md": readme})) == {}
