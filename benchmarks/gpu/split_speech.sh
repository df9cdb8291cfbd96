#!/usr/bin/env bash
# Splits a folder of speech into archives that each fit into one call of a GPU machine, as the
# files are (Opus, FLAC), and puts them together there. gzip takes the archives' own padding away:
# 6 MiB of 56.
#
# Usage: bash benchmarks/gpu/split_speech.sh SPEECH [DIR] [MIB]   here; DIR is carried/, MIB 56
#        bash benchmarks/gpu/split_speech.sh --join DIR SPEECH    there, after each call
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

if [[ "${1:-}" == --join ]]; then
  (($# == 3)) || fail "--join needs DIR and SPEECH."
  mkdir -p "$3"
  shopt -s nullglob
  parts=("$2"/speech_part*.tar.gz)
  ((${#parts[@]})) || fail "$2: holds no speech_part*.tar.gz; carry one, or check the path."
  for part in "${parts[@]}"; do tar -xf "$part" -C "$3"; done
  echo "$(find "$3" -type f | wc -l) files in $3"
  exit 0
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
speech=${1:-}
folder=${2:-$here/carried}
max_mib=${3:-56}
[[ -d "$speech" ]] || fail "$speech: no such folder of speech."
[[ "$max_mib" =~ ^[1-9][0-9]*$ ]] || fail "$max_mib: should be a whole number of MiB."
mkdir -p "$folder"
rm -f "$folder"/speech_part*.tar*

# A tar holds a header of 512 bytes a file, and each file in blocks of 512. Tables come first, so
# that every part is of use; then the files in order, the table's own corpus before the others.
list=$(mktemp)
trap 'rm -f "$list" "$list".*' EXIT
(cd "$speech" && find . -type f -size +0 -printf '%s\t%P\n') |
  awk -F'\t' '{rank = $2 ~ /utterances\.(csv|tsv)$/ ? 0 : ($2 ~ /^LibriSpeech\// ? 2 : 1)
    print rank "\t" $0}' | LC_ALL=C sort -t$'\t' -k1,1n -k3,3 | cut -f2- >"$list"
awk -F'\t' -v max="$((max_mib * 1024 * 1024))" -v out="$list" '
  {size = 512 + int(($1 + 511) / 512) * 512
   if (used && used + size > max - 10240) {part++; used = 0}
   used += size; print $2 > (out "." part + 1)}' "$list"
for names in "$list".*; do
  part="$folder/speech_part${names##*.}.tar.gz"
  tar -C "$speech" --owner=0 --group=0 -cf - -T "$names" | gzip -1 >"$part"
  echo "$(wc -l <"$names") files, $(du -m "$part" | cut -f1) MiB: $part"
done
