#!/usr/bin/env bash
# Formatting, lint, types, shell scripts and all tests; installs what it needs.
#
# Usage: bash tests/run.sh [PYTEST ARGUMENTS]
#   bash tests/run.sh                          everything, as CI does
#   bash tests/run.sh tests/metrics            these tests alone, at once
#   bash tests/run.sh tests/config -k unknown  any arguments of pytest
#   bash tests/run.sh -n 2 -m "not slow"       all tests but those that run whole recipes
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./bootstrap.sh
ensure_environment requirements.txt requirements-dev.txt
export PATH="${python%/*}:$PATH"
export OMP_NUM_THREADS=1 # threads of two tests would fight for two cores
if (($#)); then
  exec "$python" -m pytest "$@"
fi

ruff format --check .
ruff check .
mypy & # beside the tests' collection, which keeps one core busy
types=$!
shellcheck run.sh bootstrap.sh .ci/run tests/run.sh tests/faults/run.sh requirements/lock.sh local/*.sh egs/*/*/run.sh benchmarks/gpu/*.sh
"$python" -m pytest -n 2 --dist loadfile || { wait "$types" || true; exit 1; }
wait "$types" || { echo "mypy found faults: its lines stand before the tests" >&2; exit 1; }
