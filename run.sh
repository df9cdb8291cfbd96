#!/usr/bin/env bash
# Runs a recipe stage by stage; with no option: egs/mini/ConvTasNet, stages 0 to 6.
#
# Usage: bash run.sh [options]
#   --recipe MIX/MODEL   folder under egs/              (mini/ConvTasNet)
#                        MIX/MODEL/VARIANT: with egs/MIX/MODEL/VARIANT.yml
#   --stage N            first stage                    (0)
#   --stop-stage N       last stage                     (6)
#   --tag NAME           experiment under exp/MIX/MODEL (default)
#   --corpus NAME=DIR    where a corpus lies; repeatable. speech=DIR: your own
#                        recordings, one sub-folder per speaker, for any recipe;
#                        mixtures=DIR: audio that is mixed already (train/ dev/ test/,
#                        each with mix/ s1/ s2/, or a LibriMix or wsj0-mix tree);
#                        librispeech, librimix, wham, wsj0, wsj0mix as recipes need them
#   --data DIR           tables and packed audio        (data)
#   --exp DIR            experiments                    (exp)
#   --nj N               processes                      (all cores)
#   --device NAME        auto, cpu or cuda              (auto)
#   --set KEY=VALUE      overrides the config; repeatable
#   --help               this text
#
# Stages:
#   0 preflight  check machine, disk and config; fetch the corpus where it is missing
#   1 corpus     corpus tree -> table of utterances with splits, and an audit
#   2 metadata   corpus table, or published lists -> fixed mixtures with fingerprints
#   3 audio      training utterances, decoded and packed
#   4 train      train, or go on: best_model.pth, curves.csv, checkpoints, TensorBoard logs
#   5 evaluate   SI-SDR, SDR of mixture, model and oracle: a CSV row per mixture, summary.json
#   6 report     scores and curves -> RESULTS.md and report.html
# Every stage finds what is done, goes on where it was cut, and can be run again.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
caller=$OLDPWD

fail() {
  echo "error: $*" >&2
  exit 2
}

absolute() {  # paths are the caller's, not ours
  case $1 in
    /*) echo "$1" ;;
    \~/*) echo "$HOME/${1:2}" ;;
    *) echo "$caller/$1" ;;
  esac
}

need_number() {
  [[ "$2" =~ ^[0-9]+$ ]] || fail "$1 $2: should be a whole number."
}

recipe=mini/ConvTasNet
stage=0
stop_stage=6
options=()
while (($#)); do
  if [[ "$1" == --help || "$1" == -h ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' run.sh
    exit 0
  fi
  case $1 in
    --recipe | --stage | --stop-stage | --tag | --corpus | --data | --exp | --nj | --device | --set) ;;
    *) fail "unknown option $1; bash run.sh --help lists them." ;;
  esac
  (($# >= 2)) || fail "$1 needs a value."
  [[ -n "$2" ]] || fail "$1 needs a value that is not empty."
  case $1 in
    --recipe) recipe=$2 ;;
    --stage) need_number "$1" "$2"; stage=$2 ;;
    --stop-stage) need_number "$1" "$2"; stop_stage=$2 ;;
    --tag)
      [[ "$2" =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "--tag $2: use letters, digits, '.', '_', '-'."
      options+=("$1" "$2")
      ;;
    --corpus)
      [[ "$2" == ?*=?* ]] || fail "--corpus $2: write it as NAME=DIR."
      options+=("$1" "${2%%=*}=$(absolute "${2#*=}")")
      ;;
    --data | --exp) options+=("$1" "$(absolute "$2")") ;;
    --nj)
      need_number "$1" "$2"
      ((10#$2 >= 1)) || fail "--nj $2: at least 1 process."
      options+=("$1" "$2")
      ;;
    --device)
      [[ "$2" =~ ^(auto|cpu|cuda)$ ]] || fail "--device $2: choose auto, cpu or cuda."
      options+=("$1" "$2")
      ;;
    --set)
      [[ "$2" == ?*.?*=* ]] || fail "--set $2: write it as section.key=value."
      options+=("$1" "$2")
      ;;
  esac
  shift 2
done

[[ -f "egs/$recipe/conf.yml" || -f "egs/$recipe.yml" ]] || fail "--recipe $recipe: there is no egs/$recipe/conf.yml; there are:" \
  "$(printf "%s " egs/*/*/*.yml | sed "s#egs/##g; s#/conf[.]yml##g; s#[.]yml##g")"
((10#$stage <= 10#$stop_stage && 10#$stop_stage <= 6)) || \
  fail "--stage $stage --stop-stage $stop_stage: stages run from 0 to 6, the first not above the last."

source ./bootstrap.sh
ensure_environment requirements.txt

names=(preflight corpus metadata audio train evaluate report)
for ((number = 10#$stage; number <= 10#$stop_stage; number++)); do
  "$python" -m separation "${names[number]}" --recipe "$recipe" "${options[@]}"
done
