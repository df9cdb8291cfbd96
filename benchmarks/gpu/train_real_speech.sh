#!/usr/bin/env bash
# Trains the ladder of benchmarks/gpu/rungs.py on a folder of real speech, in parts that resume
# each other, and collects ablation.json, its table and its plot.
#
# Usage: bash benchmarks/gpu/train_real_speech.sh [SPEECH] [options]     (SPEECH: ../shared/speech)
#   --minutes M        training time of each rung                          (1.5)
#   --last-minutes M   of the last rung, which goes on with the best       (5)
#   --part-minutes M   of this call: what is left is for the next one      (8)
#   --rungs a,b,...    only these                                          (all)
#   --work DIR         tables, experiments, results of finished rungs      (exp/ladder)
#   --out DIR          small files to keep: results, models, state         (WORK/out)
#   --state DIR        go on from the state.* files of an earlier --out
#   --device NAME      auto, cpu or cuda                                   (auto)
#   --nj N             processes                                           (all cores)
#   --smoke            toy sizes on made-up voices, two parts: seconds
# Exit code 0: every rung is done; 75: call it again; 1: a rung failed; 2: a user's mistake.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=bootstrap.sh
source "$root/bootstrap.sh"
if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
ensure_environment "$root/requirements.txt"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m benchmarks.gpu.ladder "$@"
