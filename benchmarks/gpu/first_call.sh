#!/usr/bin/env bash
# All that the first call on a lent GPU machine has to show, within 9.5 minutes: that the product
# works (checks.py, recipe.py), and stock Asteroid's training step beside ours (throughput.py).
#
# Usage: bash benchmarks/gpu/first_call.sh OUT [--speech DIR] [--minutes M] [--tiny]
# On a lent machine behind benchmarks/gpu/lent.sh, whose /tmp/speech/speechocean762 is the speech.
# It goes on where a part fails or hangs. OUT gets checks.txt, recipe.txt, throughput.txt and
# throughput_*.json while they grow, and logs.tar.gz. --tiny: toy sizes, made-up voices, any device.
# What is left over can be measured later: python3 -m benchmarks.gpu.throughput --resume FILE.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}
fail() {
  echo "error: $*" >&2
  exit 2
}

[[ "${1:-}" == --help || "${1:-}" == -h ]] && { usage; exit 0; }
(($#)) || fail "name a folder for the results; see --help."
out=$1 minutes=9.3 tiny=() speech=/tmp/speech/speechocean762
shift
while (($#)); do
  case $1 in
    --minutes) minutes=${2:-}; shift 2 || fail "--minutes needs a number." ;;
    --speech) speech=${2:-}; shift 2 || fail "--speech needs a folder." ;;
    --tiny) tiny=(--tiny); shift ;;
    *) fail "unknown option $1; see --help." ;;
  esac
done
[[ "$minutes" =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--minutes $minutes: should be a number."
end=$(awk -v m="$minutes" 'BEGIN {print int(60 * m)}')
work=${WORK:-/tmp/gpu_work}
recipe_s=230 # that the recipe may take after its preparation
mkdir -p "$out" "$work" || exit 2
out=$(cd "$out" && pwd)

recordings=()
if ((!${#tiny[@]})); then
  [[ -d "$speech" ]] || fail "--speech $speech: no such folder; check the path, or --tiny."
  recordings=("$speech")
fi

# part SECONDS LOG COMMAND...: at most so long, and never past the end; its log is on stdout too.
part() {
  local seconds=$1 log=$2 left=$((end - SECONDS))
  shift 2
  ((seconds < left)) || seconds=$left
  ((seconds > 5)) || { echo "no time left for $*" | tee -a "$out/$log"; return; }
  echo "== $((SECONDS)) s: $*" | tee -a "$out/$log"
  timeout --kill-after=5 "$seconds" "$@" 2> >(tr '\r' '\n' >>"$work/${log%.txt}_stderr.txt") | tee -a "$out/$log"
  local code=${PIPESTATUS[0]}
  ((code == 0)) || {
    echo "exit code $code$( ((code == 124)) && echo " (ended after $seconds s)")"
    tail -n 12 "$work/${log%.txt}_stderr.txt" | cut -c-300
  } | tee -a "$out/$log"
}
collect_logs() {
  (cd "$work" && shopt -s nullglob &&
    tar -czf "$out/logs.tar.gz" ./*_stderr.txt logs compare_*/*.md exp/*/*/*/{RESULTS.md,curves.csv,run.json})
}
trap collect_logs EXIT

recipe() { # SECONDS [OPTION...]
  local seconds=$1
  shift
  part $((seconds + 10)) recipe.txt python3 -m benchmarks.gpu.recipe "${recordings[@]}" "${tiny[@]}" --work "$work" \
    --minutes "$(awk -v s="$seconds" 'BEGIN {print s / 60}')" "$@"
}
checks() { # SECONDS PARTS
  part "$1" checks.txt python3 -m benchmarks.gpu.checks "${tiny[@]}" --parts "$2"
}

recipe 90 --only prepare & # the work of CPUs, while the first checks want the device
checks 45 facts,mixing
wait
TORCH_LOGS=graph_breaks,recompiles checks 150 step
checks 60 validation,resume

smoke=()
((!${#tiny[@]})) || smoke=(--smoke)
measured=$((end - SECONDS - recipe_s)) # what the recipe leaves
((measured < 180)) || measured=180
part $((measured + 10)) throughput.txt python3 -m benchmarks.gpu.throughput --out "$out" "${smoke[@]}" \
  --minutes "$(awk -v s="$measured" 'BEGIN {print s / 60}')" \
  --only bandwidth,stock_best,ours_best,btc_own_graphs,profile_ours_best,profile_btc_best,validation_best,ours_small,stock_small
again=prepare, # which does nothing where it is done, but takes seconds for that
grep -q "^ok *prepare" "$out/recipe.txt" && again=
recipe $((end - SECONDS - 15)) --only "${again}kill,stop,finish,evaluate,compare,separate,graphs,fp32,overfit,pieces"
