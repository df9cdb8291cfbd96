#!/usr/bin/env bash
# Runs a command on a lent GPU machine, with what the call carried in benchmarks/gpu/carried:
# wheels are installed, speech_part*.tar.gz unpacked into /tmp/speech, and compiled.tar.gz.* too,
# the code that torch.compile made in earlier calls (a minute for each model that need not be
# compiled anew). Code of this call comes back in OUT/compiled.tar.gz.*: copy it into carried/.
#
# Usage: bash benchmarks/gpu/lent.sh OUT COMMAND...
# The command runs in the repository root with OUT as it is; its exit code is this one's.
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

(($# > 1)) || fail "needs OUT and a command; see the comment above it."
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
carried=$PWD/benchmarks/gpu/carried
piece_mib=15 max_files=8 # of what comes back

shopt -s nullglob
wheels=("$carried"/wheels/*.whl)
if ((${#wheels[@]})); then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target /tmp/site "${wheels[@]}" || fail "the wheels do not install."
fi
export PYTHONPATH="/tmp/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
VIRTUAL_ENV=$(python3 -c 'import sys; print(sys.prefix)') # what bootstrap.sh takes as it is
export VIRTUAL_ENV
parts=("$carried"/speech_part*.tar.gz)
mkdir -p /tmp/speech
for part in "${parts[@]}"; do tar -xf "$part" -C /tmp/speech; done

export TORCHINDUCTOR_CACHE_DIR=/tmp/cache/inductor TRITON_CACHE_DIR=/tmp/cache/triton
mkdir -p /tmp/cache
pieces=("$carried"/compiled.tar.gz.*)
((!${#pieces[@]})) || cat "${pieces[@]}" | tar -xzf - -C /tmp || fail "carried/compiled.tar.gz.* is not whole."
before=$(find /tmp/cache -type f | wc -l)

code=0
"$@" || code=$?

if (($(find /tmp/cache -type f | wc -l) > before)); then
  tar -C /tmp -czf - cache | split -d -b "${piece_mib}M" - "$out/compiled.tar.gz."
  pieces=("$out"/compiled.tar.gz.*)
  files=("$out"/*)
  if ((${#files[@]} > max_files || ${#pieces[@]} > 3)); then
    echo "no room for ${#pieces[@]} pieces of compiled code of $piece_mib MiB in $out" >&2
    rm -f "${pieces[@]}"
  fi
fi
exit "$code"
