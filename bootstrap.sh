#!/usr/bin/env bash
# Installs the project into .venv beside this file and says what to type next. What is installed
# already stays, an interrupted installation goes on. An active virtual environment is used as it
# is. run.sh and tests/run.sh do all this by themselves.
#
# Usage: bash bootstrap.sh [--hashed] [--help]
#   bash bootstrap.sh --hashed            only files whose sha256 stands in requirements/hashed*.txt
#   PYTHON=python3.13 bash bootstrap.sh   for another Python than python3 (3.11 to 3.14)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
nodeps=("$root"/requirements-{nodeps,voices}.txt) # to be installed without what their own lists ask for

fail() {
  echo "error: $*" >&2
  exit 2
}

is_supported() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

find_python() {
  local name names=(python3 python3.14 python3.13 python3.12 python3.11)
  [[ -z "${PYTHON:-}" ]] || names=("$PYTHON")
  for name in "${names[@]}"; do
    if is_supported "$name"; then
      echo "$name"
      return
    fi
  done
  [[ -z "${PYTHON:-}" ]] || fail "PYTHON=$PYTHON: not a Python from 3.11 to 3.14; name another, or unset it."
  fail "Python 3.11 to 3.14 is needed; install it (apt-get install python3 python3-venv)."
}

uses_active_environment() {
  [[ -n "${VIRTUAL_ENV:-}" && -x "$VIRTUAL_ENV/bin/python" ]]
}

# Scripts in a virtual environment hold its path: one that was moved or copied is made anew.
was_moved() {
  local made_for
  made_for=$(sed -n 's/^command = .* -m venv \(--clear \)*//p' "$1/pyvenv.cfg" 2>/dev/null) || true
  [[ -n "$made_for" && ! "$made_for" -ef "$1" ]]
}

# The Python that ensure_environment will choose, where it is there already.
find_installed_python() {
  if uses_active_environment; then
    echo "$VIRTUAL_ENV/bin/python"
  elif is_supported "$root/.venv/bin/python"; then
    echo "$root/.venv/bin/python"
  else
    return 1
  fi
}

make_environment() {
  local venv=$1 base output
  base=$(find_python)
  echo "making a virtual environment in $venv ($("$base" -V))"
  output=$("$base" -m venv --clear "$venv" 2>&1) && return
  case $output in
    *ensurepip* | *"No module named venv"*)
      fail "$base cannot make virtual environments; apt-get install python3-venv, then run the same command again." ;;
    *"No space left"*) fail "$venv: no space left on this disk; free some, then run the same command again." ;;
    *) fail "$base could not make $venv: ${output##*$'\n'}." ;;
  esac
}

explain_failure() {
  local log=$1 reason
  if grep -qE 'No space left on device|Disk quota exceeded' "$log"; then
    fail "no space left in $root/.venv or ${TMPDIR:-/tmp} (1.5 GB are needed, 6 GB with PyPI's CUDA build of torch);" \
      "free some, then run the same command again: it goes on."
  elif grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Connection (aborted|broken)|Read timed out' "$log"; then
    fail "the package index cannot be reached; check the network, or pip's proxy and index settings," \
      "then run the same command again: it goes on."
  fi
  reason=$(grep '^ERROR: ' "$log" | tail -n 1)
  fail "pip: ${reason#ERROR: }; all that it said is in $log."
}

# pip_install OPTIONS...: names the large files; where it fails, one sentence says why.
pip_install() {
  local log="$root/.venv/install.log"
  trap 'echo "interrupted: run the same command to go on from here" >&2; exit 130' INT TERM
  "$python" -m pip install --disable-pip-version-check --progress-bar off "$@" 2>&1 | tee "$log" |
    sed -unE 's/^ *(Downloading|Using cached) ([^-]+)-([^-]+)-\S+\.whl (\(.* [MG]B\))$/  \2 \3 \4/p
      s/^Processing .*\/(torch)-([^-]+)-\S+\.whl.*/  \1 \2 (a file at hand)/p
      s/^Installing collected packages:.*/  unpacking/p' || explain_failure "$log"
  trap - INT TERM
}

# Whether pip would install a CPU build of torch, as where PIP_FIND_LINKS has one.
takes_cpu_torch() {
  "$python" -m pip install --quiet --dry-run --ignore-installed --no-deps --report - \
    "$(grep '^torch==' "$root/requirements.txt")" | grep -q '+cpu'
}

# A wheel at hand states no hash, so pip would prefer the index's build; what is installed it keeps.
install_cpu_torch() {
  awk '/^[a-z]/ { is_torch = /^torch==/ } is_torch' "$root/requirements/hashed.txt" >"$root/.venv/torch.txt"
  pip_install --no-index --no-deps --require-hashes -r "$root/.venv/torch.txt"
}

# install_requirements STAMP FILE...: all that the files name, Asteroid, and the project itself.
install_requirements() {
  local stamp=$1 file options=() bare=()
  shift
  for file in "$@"; do options+=(-r "$file"); done
  for file in "${nodeps[@]}"; do bare+=(-r "$file"); done
  if [[ "$1" == */hashed.txt ]]; then
    if takes_cpu_torch; then
      install_cpu_torch
    else
      options+=(-r "$root/requirements/hashed-cuda.txt")
    fi
    options+=(--require-hashes --only-binary :all:)
  fi
  echo "installing pinned requirements into $root/.venv (once; a minute or a few)"
  pip_install "${options[@]}"
  pip_install --quiet --no-deps "${bare[@]}"
  # torch brought setuptools: nothing is downloaded to build the link to this folder
  pip_install --quiet --no-deps --no-build-isolation -e "$root"
  touch "$stamp"
}

# ensure_environment REQUIREMENTS...: sets $python; installs what is missing into .venv.
ensure_environment() {
  if uses_active_environment; then
    python="$VIRTUAL_ENV/bin/python"
    return
  fi
  local venv="$root/.venv" stamp
  python="$venv/bin/python"
  stamp="$venv/.installed-$(cat "$@" "${nodeps[@]}" "$root/pyproject.toml" | sha256sum | cut -c1-16)"
  if [[ ! -f "$stamp" ]] || was_moved "$venv" || ! is_supported "$python"; then
    exec 9<"$root" # of two calls at a time one installs, the other waits
    flock -n 9 || { echo "waiting for another installation into $venv" && flock 9; }
    if was_moved "$venv" || ! is_supported "$python" || ! "$python" -m pip --version >/dev/null 2>&1; then
      make_environment "$venv"
    fi
    [[ -f "$stamp" ]] || install_requirements "$stamp" "$@"
    exec 9<&-
  fi
}

# The names in the requirements that the active environment lacks, one a line.
list_missing() {
  # shellcheck disable=SC2046
  "$python" -c '
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        version(name)
    except PackageNotFoundError:
        print(name)
' $(sed '/;/d; s/[=#].*//' "$root/requirements.txt" "$root/requirements-nodeps.txt")
}

install_project() {
  local requirements="$root/requirements.txt"
  case ${1:-} in
    "") ;;
    --hashed)
      requirements="$root/requirements/hashed.txt"
      nodeps=("$root/requirements/hashed-nodeps.txt")
      ;;
    --help | -h)
      sed -n '2,/^$/{/^$/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      return
      ;;
    *) fail "unknown option $1; bash bootstrap.sh takes none but --hashed and --help." ;;
  esac
  local missing command=.venv/bin/python
  ensure_environment "$requirements"
  if uses_active_environment; then
    command=python
    missing=$(list_missing)
    [[ -z "$missing" ]] ||
      fail "the active environment $VIRTUAL_ENV lacks" "${missing//$'\n'/, };" "deactivate it and bash bootstrap.sh" \
        "makes .venv, or run in it: pip install -r requirements.txt && pip install --no-deps -r requirements-nodeps.txt -e ."
  fi
  echo "installed ($("$python" -V)). Next, in $root:"
  printf '  %-42s%s\n' "bash run.sh" "the whole job on real speech" \
    "$command -m separation --help" "all commands"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  set -euo pipefail
  install_project "$@"
fi
