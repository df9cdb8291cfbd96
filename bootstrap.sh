#!/usr/bin/env bash
# Sourced by run.sh and tests/run.sh: finds or makes the Python environment.
# An active virtual environment is used as it is; otherwise .venv beside this file.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

find_python() {
  local name
  for name in "${PYTHON:-}" python3 python3.12 python3.11; do
    if [[ -n "$name" ]] && "$name" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
      2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "error: Python 3.11 or 3.12 is needed; install it (apt-get install python3 python3-venv)." >&2
  exit 2
}

# ensure_environment REQUIREMENTS...: sets $python; installs what is missing into .venv.
ensure_environment() {
  if [[ -n "${VIRTUAL_ENV:-}" && -x "$VIRTUAL_ENV/bin/python" ]]; then
    python="$VIRTUAL_ENV/bin/python"
    return
  fi
  local venv="$root/.venv" base wanted stamp
  python="$venv/bin/python"
  if [[ ! -x "$python" ]] || ! "$python" -m pip --version >/dev/null 2>&1; then
    base=$(find_python)
    echo "making a virtual environment in $venv ($base)"
    if ! "$base" -m venv --clear "$venv"; then
      echo "error: $base cannot make a virtual environment; apt-get install python3-venv." >&2
      exit 2
    fi
  fi
  wanted=$(cat "$@" "$root/requirements-nodeps.txt" | sha256sum | cut -c1-16)
  stamp="$venv/.installed-$wanted"
  [[ -f "$stamp" ]] && return
  echo "installing pinned requirements into $venv (once; a minute or a few)"
  local file options=()
  for file in "$@"; do options+=(-r "$file"); done
  "$python" -m pip install --quiet --disable-pip-version-check "${options[@]}"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
    -r "$root/requirements-nodeps.txt"
  touch "$stamp"
}
