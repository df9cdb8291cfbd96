#!/usr/bin/env bash
# The ten minutes on a GPU that was never tried, a finding a line: what fails, waits or is slow
# (checks.py), that the product works (recipe.py), and stock Asteroid's training step beside ours
# (throughput.py).
#
# Usage: bash benchmarks/gpu/first_call.sh OUT [--speech DIR] [--tiny]
# On a lent machine behind benchmarks/gpu/lent.sh, whose /tmp/speech/speechocean762 is the speech.
# It goes on where a part fails or hangs. OUT gets checks.txt, recipe.txt, throughput.txt and
# throughput_*.json while they grow, and logs.tar.gz. --tiny: toy sizes, made-up voices, any device.
# What is left over can be measured later: python3 -m benchmarks.gpu.throughput --resume FILE.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
fail() {
  echo "error: $*" >&2
  exit 2
}

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
(($#)) || fail "name a folder for the results; see --help."
out=$1 tiny=() smoke=() speech=/tmp/speech/speechocean762
shift
while (($#)); do
  case $1 in
    --speech) speech=${2:-}; shift 2 || fail "--speech needs a folder." ;;
    --tiny) tiny=(--tiny) smoke=(--smoke); shift ;;
    *) fail "unknown option $1; see --help." ;;
  esac
done
recordings=()
if ((!${#tiny[@]})); then
  [[ -d "$speech" ]] || fail "--speech $speech: no such folder; check the path, or --tiny."
  recordings=("$speech")
fi
end=560 # seconds, of ten minutes
work=${WORK:-/tmp/gpu_work}
mkdir -p "$out" "$work" || exit 2
out=$(cd "$out" && pwd)

# part SECONDS NAME ARGUMENT...: a module of benchmarks.gpu for at most so long, and never past the
# end; its log is on stdout too.
part() {
  local seconds=$1 name=$2 left=$((end - SECONDS)) code
  shift 2
  ((seconds < left)) || seconds=$left
  echo "== $((SECONDS)) s: $name $*"
  timeout --kill-after=5 "$seconds" python3 -m "benchmarks.gpu.$name" "$@" 2>>"$work/${name}_stderr.txt"
  code=$?
  ((code == 0)) || {
    echo "exit code $code$( ((code == 124)) && echo " (ended after $seconds s)")"
    tail -n 12 "$work/${name}_stderr.txt" | cut -c-300
  }
}
note() { tee -a "$out/$1.txt"; }

product=(recipe "${recordings[@]}" "${tiny[@]}" --work "$work")
part 100 "${product[@]}" --only prepare | note recipe & # a CPU's work, while the device is checked
part 45 checks "${tiny[@]}" --parts facts,mixing | note checks
wait
TORCH_LOGS=graph_breaks,recompiles part 150 checks "${tiny[@]}" --parts step | note checks
part 220 throughput "${smoke[@]}" --out "$out" --minutes 3.5 \
  --only bandwidth,stock_best,ours_best,profile_ours_best,validation_best,ours_small,stock_small | note throughput
part 600 "${product[@]}" --minutes "$(((end - SECONDS) / 60))" --only stop,train,compare,pieces,overfit | note recipe
cd "$work" && tar -czf "$out/logs.tar.gz" ./*_stderr.txt logs
