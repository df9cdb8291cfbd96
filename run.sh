#!/usr/bin/env bash
# Runs a recipe stage by stage; with no option: egs/mini/ConvTasNet, stages 0 to 6.
# bash run.sh --help explains options and stages; separation/stages/recipe_command.py does it.
set -euo pipefail

# shellcheck source=bootstrap.sh
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"

# Paths are the caller's; the package is the one beside this file, whatever lies where one stands.
package=(env PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1)

# Options are checked before anything is installed, which needs Python alone; so do these answers.
python=$(find_installed_python || find_python)
for word in "$@"; do
  case $word in
    --help | -h | --dry-run) exec "${package[@]}" "$python" -m separation run "$@" ;;
  esac
done
"${package[@]}" "$python" -m separation run --dry-run "$@" >/dev/null

ensure_environment "$root/requirements.txt"
exec "${package[@]}" "$python" -m separation run "$@"
