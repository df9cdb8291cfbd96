#!/usr/bin/env bash
# Formatting, lint, types, shell scripts and tests; installs what it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./bootstrap.sh
ensure_environment requirements.txt requirements-dev.txt
export PATH="${python%/*}:$PATH"

ruff format --check .
ruff check .
mypy
shellcheck run.sh bootstrap.sh .ci/run tests/run.sh local/*.sh egs/*/*/run.sh benchmarks/gpu/*.sh
# Two tests at a time, one thread each: threads of two trainings would fight for two cores.
export OMP_NUM_THREADS=1
exec "$python" -m pytest -n 2 --dist loadfile "$@"
