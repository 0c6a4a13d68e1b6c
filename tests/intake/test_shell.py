from __future__ import annotations

import pytest

from auditor.intake.readme import blocks, settings_in_tables
from auditor.intake.shell import commands, expand


def _values(text: str, *, loose: bool = False) -> dict[str, str]:
    found, _ = commands(text, loose=loose)
    return {name: value for name, (value, _) in found[-1].env.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1 B='x y' torchrun --standalone --nproc_per_node=8 train_gpt.py", {"A": "1", "B": "x y"}),
        ("A=1 \\\n  B=2 \\\n  torchrun --nproc_per_node 8 train_gpt.py > log.txt 2>&1", {"A": "1", "B": "2"}),
        ("export A=1\nexport B=2; python3 train_gpt.py", {"A": "1", "B": "2"}),
        ("A=1\nexport A\npython train_gpt.py", {"A": "1"}),
        ("A=1\npython train_gpt.py", {}),
        ("env A=1 python train_gpt.py", {"A": "1"}),
        ("env -u X A=1 python train_gpt.py", {"A": "1"}),
        ("export A=${A:-5}\nexport B=${C:-$A}\npython train_gpt.py", {"A": "5", "B": "5"}),
        ("for SEED in 1 2; do\n  SEED=$SEED A=1 torchrun train_gpt.py | tee log\ndone", {"SEED": "1", "A": "1"}),
        ("nohup env A=1 torchrun train_gpt.py &", {"A": "1"}),
        ("cd x && A=1 python train_gpt.py", {"A": "1"}),
        ("$ A=1 python train_gpt.py", {"A": "1"}),
        ("user@box:~/pg$ A=1 python train_gpt.py", {"A": "1"}),
        ("cat <<EOF > x.sh\nexport A=9\nEOF\nA=1 python train_gpt.py", {"A": "1"}),
        ("A=1 # B=2\nC=3 python train_gpt.py # D=4", {"C": "3"}),
        ("A='unclosed python train_gpt.py", {}),
        ("set A=1\npython train_gpt.py", {"A": "1"}),
    ],
)
def test_the_environment_of_a_launch(text: str, expected: dict[str, str]) -> None:
    found, _ = commands(text)
    assert ({n: v for n, (v, _) in found[-1].env.items()} if found else {}) == expected


def test_plain_assignments_count_in_readmes_only() -> None:
    text = "A=1\nB=2\npython train_gpt.py\n"
    assert _values(text) == {} and _values(text, loose=True) == {"A": "1", "B": "2"}


def test_arguments_line_and_processes() -> None:
    found, _ = commands("\nX=1 torchrun --standalone --nproc_per_node=8 train_gpt.py --ttt --lr 0.1 > out\n", 10)
    assert (found[0].script, found[0].argv, found[0].line, found[0].nproc) == (
        "train_gpt.py",
        ("--ttt", "--lr", "0.1"),
        11,
        8,
    )


def test_a_module_launch_and_other_commands() -> None:
    assert commands("A=1 torchrun -m pack.train")[0][0].script == "pack/train.py"
    assert commands("pip install x\nls *.py\ngrep A=1 train_gpt.py")[0] == []


def test_expand_leaves_what_is_not_known() -> None:
    assert expand("$HOME/${X}/${Y:-z}/${A:+b}", {"X": "1", "A": "q"}) == "$HOME/1/z/b"


def test_blocks_of_a_readme() -> None:
    text = "# Title\n\n## Reproduction\n\nRun this:\n\n```bash\nA=1 python train_gpt.py\n```\nor `B=2 torchrun x.py`\n"
    found = blocks(text)
    assert [(b.line, b.heading, b.language) for b in found] == [
        (8, "Reproduction", "bash"),
        (10, "Reproduction", "inline"),
    ]
    assert found[0].context == "Run this:"


def test_tables_and_lists_drop_names_with_two_values() -> None:
    text = "| `TTT_LR` | 0.01 |\n| TTT_EPOCHS | 3 |\n- `EVAL_STRIDE=64`\n| TTT_EPOCHS | 10 |\n```\nX_Y=1\n```\n"
    assert settings_in_tables(text) == {"TTT_LR": ("0.01", 1), "EVAL_STRIDE": ("64", 3)}


def test_a_list_of_layers_is_one_value() -> None:
    text = "    VE_ENABLED=1 VE_LAYERS=9,10 SEED_X=1\n- LOOP_LAYERS: 3,4,5\n| RECUR_LAYERS | 4,5 |\nA_B=1,C_D=2\n"
    found = {name: value for name, (value, _) in settings_in_tables(text).items()}
    assert found == {
        "VE_ENABLED": "1", "VE_LAYERS": "9,10", "SEED_X": "1", "LOOP_LAYERS": "3,4,5", "RECUR_LAYERS": "4,5",
        "A_B": "1", "C_D": "2",
    }  # fmt: skip
