#!/usr/bin/env bash
# Damages inputs of every kind by the thousand, and says what the program does with them.
#
# Usage: bash tests/faults/run.sh [OPTIONS OF tests/faults/mutate.py]
#   bash tests/faults/run.sh                                1,000 inputs, seed 0
#   bash tests/faults/run.sh --seed 7 --count 10000         more of them, others
#   bash tests/faults/run.sh --kinds checkpoint --keep DIR  of one kind; DIR gets those of defects
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source ./bootstrap.sh
ensure_environment requirements.txt requirements-dev.txt
export OMP_NUM_THREADS=1
exec "$python" -m tests.faults.mutate "$@"
