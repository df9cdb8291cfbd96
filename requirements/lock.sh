#!/usr/bin/env bash
# Writes the requirements with the sha256 of every file that may be installed, for Python 3.11 to 3.14.
#
# Usage: bash requirements/lock.sh [DIR]   DIR: holds CPU wheels of torch, which are allowed too
#   hashed.txt         all but the two below
#   hashed-cuda.txt    what torch's CUDA build, that of PyPI, needs beside it
#   hashed-nodeps.txt  to be installed with --no-deps: requirements-nodeps.txt, -voices.txt
# Needs uv: python3 -m pip install uv. To be run again when a pinned version changes.
set -euo pipefail

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wheels=${1:-}

if ! command -v uv >/dev/null; then
  echo "error: uv is not there; python3 -m pip install uv, and run the same command again." >&2
  exit 2
fi

# compile FILE...: every package that they bring, each with the hashes of all its files.
compile() {
  local compiled
  compiled=$(mktemp)
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --output-file "$compiled" "$@"
  cat "$compiled"
  rm "$compiled"
}

# select_packages KEEP: of compiled requirements those that torch's CUDA build needs (1), or all others (0).
select_packages() {
  awk -v keep="$1" '/^[a-z]/ { is_cuda = /^(nvidia|cuda)-/ || /^triton==/ } is_cuda == keep'
}

# add_wheels NAME: the hashes of a package's own wheels at hand, which no index lists.
add_wheels() {
  local name=$1 line wheel version
  version=$(sed -n "s/^$name==//p" requirements.txt)
  while IFS= read -r line; do
    echo "$line"
    [[ "$line" == "$name"==* && -n "$wheels" ]] || continue
    for wheel in "$wheels/$name-$version"+cpu-*.whl; do
      echo "    --hash=sha256:$(sha256sum "$wheel" | cut -c1-64) \\"
    done
  done
}

head="# Made by requirements/lock.sh; installed by bash bootstrap.sh --hashed."
all=$(compile requirements.txt)
{ echo "$head" && select_packages 0 <<<"$all" | add_wheels torch; } >requirements/hashed.txt
{ echo "$head" && select_packages 1 <<<"$all"; } >requirements/hashed-cuda.txt
{ echo "$head" && compile --no-deps requirements-nodeps.txt requirements-voices.txt; } >requirements/hashed-nodeps.txt
wc -l requirements/hashed*.txt
