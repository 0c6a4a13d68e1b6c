#!/usr/bin/env bash
# Installs this checkout of golf-audit into a virtual environment of its own. The folder that is audited is the current
# one and a stranger's: `python -I` takes no module from it, and pip reads none of its files.
# Environment: GITHUB_ACTION_PATH (this checkout), GOLF_VENV (where to), GOLF_PROBE (true: torch and bubblewrap too).
set -euo pipefail

python -I -m venv "$GOLF_VENV"
pip=("$GOLF_VENV/bin/python" -I -m pip install --quiet --disable-pip-version-check
     --constraint "$GITHUB_ACTION_PATH/constraints.txt")

if [ "${GOLF_PROBE:-false}" = true ]; then
  "${pip[@]}" --extra-index-url https://download.pytorch.org/whl/cpu "${GITHUB_ACTION_PATH}[torch]"
  sudo apt-get update -qq
  sudo apt-get install -qq -y bubblewrap
  # Ubuntu 24.04 keeps user namespaces from programs without an AppArmor profile; the runner is thrown away afterwards.
  sudo sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0 || true
  "$GOLF_VENV/bin/golf-audit" doctor
else
  "${pip[@]}" "$GITHUB_ACTION_PATH"
fi
