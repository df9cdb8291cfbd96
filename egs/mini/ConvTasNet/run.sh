#!/usr/bin/env bash
# The mini recipe: real voice prompts, two speakers, a separator in ten minutes on two cores.
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/../../../run.sh" --recipe mini/ConvTasNet "$@"
