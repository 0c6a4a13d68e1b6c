"""What is said of machines that cannot isolate, and that trying is what decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.sandbox import Level, detect, levels
from auditor.sandbox.levels import Detection, set_up_hint, try_it
from tests.sandbox.support import needs_bubblewrap

Fake = Callable[[str], None]
OPTIONS = "--disable-userns --size --perms"


@pytest.fixture
def fake_bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a shell script in bubblewrap's place."""

    def put(body: str) -> None:
        (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def found() -> Detection:
    """Without the memory of earlier trials."""
    return levels.detect.__wrapped__()


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found().level is Level.NONE and found().reason == "bubblewrap is not installed"
    assert "apt-get install bubblewrap" in found().hint


def test_too_old(fake_bwrap: Fake) -> None:
    fake_bwrap('[ "$1" = --version ] && echo bubblewrap 0.4.1 || echo "usage: --perms --bind"')
    assert found().level is Level.NONE
    assert found().reason == "bubblewrap 0.4.1 does not know --disable-userns, --size"


def test_it_does_not_work(fake_bwrap: Fake) -> None:
    said = "bwrap: No permissions to create new namespace"
    fake_bwrap(
        f'case "$1" in --version) echo bubblewrap 0.8.0;; --help) echo "{OPTIONS}";;\n'
        f'*) echo "{said}" >&2; exit 1;; esac'
    )
    assert found().level is Level.NONE and said in found().reason and found().tool_version == "0.8.0"
    assert found().hint


def test_a_program_that_only_claims_to_work_is_not_believed(fake_bwrap: Fake) -> None:
    fake_bwrap("exit 0")
    assert try_it(str(shutil.which("bwrap")))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "max_user_namespaces"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor profile"),
    ],
)
def test_the_kernel_s_settings_are_named(tmp_path: Path, name: str, value: str, says: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(value + "\n")
    assert says in set_up_hint(tmp_path, tmp_path)
    path.write_text("10000\n" if name.startswith("user/") else {"0": "1\n", "1": "0\n"}[value])
    assert says not in set_up_hint(tmp_path, tmp_path)


def test_a_container_is_named(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    assert "--privileged" in set_up_hint(tmp_path, tmp_path)


@needs_bubblewrap
def test_where_it_works_the_version_is_told() -> None:
    assert detect().tool_version and detect() is detect()
