#!/usr/bin/env bash
# The ladder of speech.yml and the small model's trainings, side by side on one machine, within one
# call of some minutes; called again, it goes on. Small files to keep come into OUT.
#
# Usage: bash benchmarks/ladder/gpu_call.sh [SPEECH]     (SPEECH: /tmp/speech)
# Settings by the environment:
#   MINUTES=8.5        of this call, until trainings write their checkpoint and end
#   STEPS=6000         of every rung
#   SMALL_STEPS=20000  of the small model's trainings; 0: none
#   PARALLEL=5         rungs at once, beside the two trainings of the small model
#   SEEDS=2            of the rungs; the second seed begins once all rungs of the first have
#   RUNGS="j i ..."    in the order of their start; the long ones first
#   WORK=/tmp/ladder   corpora, experiments, results
#   OUT=WORK/out       what is to be kept: at most 8 files below 16 MiB
#   STATE=DIR          go on from the OUT of an earlier call, on a machine that lost WORK
#   DEVICE=auto        auto, cpu or cuda
#   COMMIT=            of this copy, where it has no .git: stands in every result
#   SETS=""            further words for both ladders, such as --set training.cuda_graphs=true
#   TOY=               not empty: toy sizes, for a trial
# Exit code 0: all is done; 75: call it again; 1: a training failed; 2: a user's mistake.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
began=$SECONDS
# shellcheck source=bootstrap.sh
source "$root/bootstrap.sh"
ensure_environment "$root/requirements.txt"
export SEPARATION_COMMIT=${COMMIT:-${SEPARATION_COMMIT:-}}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

speech=$(realpath "${1:-/tmp/speech}")
work=${WORK:-/tmp/ladder}
out=${OUT:-$work/out}
parallel=${PARALLEL:-5}
cores=$(nproc)
read -r -a rungs <<<"${RUNGS:-j i h g f a e d c b}"
read -r -a words <<<"${SETS:-}"
[[ -d "$speech/LibriSpeech" ]] || {
  echo "error: $speech: holds no LibriSpeech; join all parts of the speech first." >&2
  exit 2
}
mkdir -p "$work" "$out"
cd "$root"

# Compiled once, used by all that have the same shapes; more threads would only disturb each other.
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-/tmp/cache/inductor}
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-/tmp/cache/triton}
export TORCHINDUCTOR_COMPILE_THREADS=${TORCHINDUCTOR_COMPILE_THREADS:-3}

[[ -z "${STATE:-}" ]] || "$python" -m benchmarks.ladder.collect --unpack "$STATE" "$work"
"$python" -m benchmarks.ladder.prepare "$speech" "$work/inputs" --nj "$cores" ${TOY:+--toy} \
  2>"$work/prepare.log" || {
  tail -c 600 "$work/prepare.log"
  exit 2
}
echo "prepared after $((SECONDS - began)) s"

minutes=$("$python" -c "print(max(0.1, ${MINUTES:-8.5} - $((SECONDS - began)) / 60))")
common=(--inputs "$work/inputs" --minutes "$minutes" --device "${DEVICE:-auto}" --nj "$cores")
common+=("${words[@]}")
"$python" -m separation ablate benchmarks/ladder/speech.yml --rungs "${rungs[@]}" \
  --steps "${STEPS:-6000}" --seeds "${SEEDS:-2}" --parallel "$parallel" --out "$work/speech" \
  "${common[@]}" &
ladder=$!
small=0
if [[ "${SMALL_STEPS:-20000}" != 0 ]]; then
  "$python" -m separation ablate benchmarks/ladder/small_model.yml --parallel 2 \
    --steps "${SMALL_STEPS:-20000}" --out "$work/small" "${common[@]}" &
  small=$!
fi
code=0
wait "$ladder" || code=$?
if ((small)); then
  small_code=0
  wait "$small" || small_code=$?
  ((code)) || code=$small_code
fi
"$python" -m benchmarks.ladder.collect "$work" "$out"
echo "all after $((SECONDS - began)) s, exit code $code"
exit "$code"
