#!/usr/bin/env bash
# Fetches Debian packages and unpacks each into DIR/<package>; needs no root.
# Usage: local/download_debian_prompts.sh DIR PACKAGE...
# What is there already is kept; each package appears whole or not at all.
set -euo pipefail

dir=$1
shift

for tool in apt-get dpkg-deb; do
  if ! command -v "$tool" >/dev/null; then
    echo "error: $tool is not here, so the prompts of Debian packages cannot be fetched;" \
      "give your own recordings with --corpus speech=DIR (one sub-folder per speaker)." >&2
    exit 2
  fi
done

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
# Package lists of our own where the system has none: needs no root and changes nothing.
apt_options=(-o APT::Sandbox::User=root -o Debug::NoLocking=1)

refresh_lists() {
  mkdir -p "$dir/.apt/lists/partial" "$dir/.apt/cache/archives/partial"
  apt_options+=(-o "Dir::State::Lists=$dir/.apt/lists" -o "Dir::Cache=$dir/.apt/cache")
  apt-get "${apt_options[@]}" -qq update >&2
}

fetch_package() {
  local package=$1 work="$dir/.$1.partial"
  rm -rf "$work"
  mkdir -p "$work/deb"
  (cd "$work/deb" && apt-get "${apt_options[@]}" -qq download "$package" >&2) || return 1
  dpkg-deb -x "$work"/deb/*.deb "$work/tree"
  rm -rf "${dir:?}/$package"
  mv "$work/tree" "$dir/$package"
  rm -rf "$work"
}

refreshed=false
for package in "$@"; do
  [[ -d "$dir/$package" ]] && continue
  echo "  fetching $package" >&2
  if ! fetch_package "$package" 2>/dev/null; then
    "$refreshed" || refresh_lists
    refreshed=true
    if ! fetch_package "$package"; then
      echo "error: apt cannot fetch $package; fix apt's sources or the network, or give your own" \
        "recordings with --corpus speech=DIR (one sub-folder per speaker)." >&2
      exit 2
    fi
  fi
done
