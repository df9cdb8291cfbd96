#!/usr/bin/env bash
# Collects, for a GPU machine without internet, the wheels of requirements.txt and
# requirements-nodeps.txt that it lacks: Python 3.12, x86-64 Linux.
#
# Usage: bash benchmarks/gpu/collect_wheels.sh [DIR]          (benchmarks/gpu/carried/wheels)
# What the machine has already, in versions that serve, stands in benchmarks/gpu/on_the_machine.txt.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-$here/carried/wheels}
max_mib=64
needed_in_turn=(cffi pycparser decorator)  # of soundfile and miniaudio; of mir_eval
python=${PYTHON:-python3}
platforms=()
for glibc in 28 27 17 24 31 34 35; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux1_x86_64)

# Both names and list in one spelling: case and separators mean nothing to pip.
plain() { tr 'A-Z_' 'a-z-'; }
there=$(grep -v '^#' "$here/on_the_machine.txt" | plain)
wanted=("${needed_in_turn[@]}")
while read -r requirement; do
  name=$(plain <<<"${requirement%%=*}")
  grep -qx "$name" <<<"$there" || wanted+=("$requirement")
done < <(grep -hv '^ *\(#\|$\)' "$root/requirements.txt" "$root/requirements-nodeps.txt")

rm -rf "$folder"
mkdir -p "$folder"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --python-version 3.12 --implementation cp "${platforms[@]}" -d "$folder" "${wanted[@]}"
find "$folder" -name '*.whl' -printf '%k KiB %f\n' | sort -k3
size_mib=$(du -sm "$folder" | cut -f1)
echo "$size_mib MiB in $folder"
if ((size_mib >= max_mib)); then
  echo "error: a call carries less than $max_mib MiB; see what grew in the list above." >&2
  exit 2
fi
