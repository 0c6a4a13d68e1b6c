from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.shims import missing
from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestUnsupported
from tests.behaviour.shims.conftest import Events

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext) -> None:
    missing.install(ctx)


def run(tmp_path: Path, source: str) -> dict[str, Any]:
    path = tmp_path / "script.py"
    path.write_text(source)
    return runpy.run_path(str(path))


def test_a_logging_package_swallows_everything(tmp_path: Path, events: Events) -> None:
    source = (
        "import wandb\n"
        "run = wandb.init(project='x', config={})\n"
        "run.log({'loss': 1.0}, step=3)\n"
        "with wandb.init() as r:\n"
        "    r.summary['a'] = 2\n"
        "from tensorboard.summary import Writer\n"
        "from torch.utils.tensorboard import SummaryWriter\n"
        "SummaryWriter('logs').add_scalar('a', 1.0, 2)\n"
        "import psutil\n"
        "used = f'{float(psutil.virtual_memory().used) / 2:.1f}'\n"
    )
    assert run(tmp_path, source)["used"] == "0.0"
    assert {"wandb", "psutil"} <= {e["module"] for e in events.of("Stubbed")}


def test_a_computing_package_imports_and_stops_when_used(tmp_path: Path, events: Events) -> None:
    source = (
        "import transformer_engine.pytorch as te\n"
        "from mamba_ssm import Mamba2\n"
        "from liger_kernel.ops.rms_norm import LigerRMSNormFunction\n"
        "class Mine(Mamba2):\n    pass\n"
    )
    names = run(tmp_path, source)
    calls: list[Any] = [names["Mamba2"], names["Mine"], names["te"].Linear, names["LigerRMSNormFunction"].apply]
    for call in calls:
        with pytest.raises(GuestUnsupported):
            call(1, 2)
    with pytest.raises(GuestUnsupported, match=r"mamba_ssm\.Mamba2"):
        names["Mamba2"]()
    assert {"module": "transformer_engine.pytorch"} in events.of("Stubbed")


@pytest.mark.parametrize("caught", ["ImportError", "ModuleNotFoundError", "Exception", "(ImportError, OSError)", ""])
def test_a_guarded_import_takes_the_script_s_own_way_round(tmp_path: Path, events: Events, caught: str) -> None:
    source = f"try:\n    import apex\n    HAVE = True\nexcept {caught}:\n    HAVE = False\n"
    assert run(tmp_path, source)["HAVE"] is False and not events.of("Stubbed")


def test_a_try_that_does_not_catch_it_is_no_guard(tmp_path: Path) -> None:
    source = "try:\n    import apex\n    HAVE = True\nexcept ValueError:\n    HAVE = False\n"
    assert run(tmp_path, source)["HAVE"] is True


def test_an_import_in_the_handler_is_no_guarded_one(tmp_path: Path) -> None:
    source = "try:\n    import no_such_thing_anywhere\nexcept ImportError:\n    import xformers\nHAVE = True\n"
    assert run(tmp_path, source)["HAVE"] is True


def test_asking_whether_it_is_there_says_no() -> None:
    assert importlib.util.find_spec("bitsandbytes") is None


def test_unknown_packages_stay_missing(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        run(tmp_path, "import no_such_thing_anywhere\n")


def test_numba_leaves_functions_to_the_interpreter(tmp_path: Path) -> None:
    if importlib.util.find_spec("numba"):
        pytest.skip("numba is installed")
    source = (
        "from numba import njit, prange\nimport numba\n"
        "@njit(parallel=True, fastmath=True)\n"
        "def total(n):\n    s = 0\n    for i in prange(n):\n        s += i\n    return s\n"
        "@numba.njit\n"
        "def twice(x):\n    return 2 * x\n"
        "RESULT = total(5), twice(4)\n"
    )
    assert run(tmp_path, source)["RESULT"] == (10, 8)


def test_tqdm_iterates(tmp_path: Path) -> None:
    if importlib.util.find_spec("tqdm"):
        pytest.skip("tqdm is installed")
    source = (
        "from tqdm import tqdm, trange\nfrom tqdm.auto import tqdm as auto\n"
        "bar = tqdm([1, 2, 3], desc='x')\nbar.set_postfix(a=1)\n"
        "A, B, C = list(bar), list(trange(2)), list(auto([4]))\n"
    )
    names = run(tmp_path, source)
    assert (names["A"], names["B"], names["C"]) == ([1, 2, 3], [0, 1], [4])


def test_installed_packages_are_themselves(tmp_path: Path, events: Events) -> None:
    run(tmp_path, "import sentencepiece, brotli, zstandard\n")
    assert not events.of("Stubbed")


def test_stubs_leave_with_the_context(tmp_path: Path, ctx: ShimContext) -> None:
    run(tmp_path, "import wandb\n")
    assert "wandb" in sys.modules
    ctx.restore()
    assert "wandb" not in sys.modules
