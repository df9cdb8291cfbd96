"""The command ``validate``: is a set of mixtures what it should be?

Every mixture is rendered or read once and looked at by itself
(:mod:`separation.mixture_checks.checks`), then beside the others
(:mod:`separation.mixture_checks.sets`); of each only a small record is kept.
"""

import argparse
import dataclasses
import math
from functools import partial
from pathlib import Path

from separation.datasets.open import InputOptions, MixtureList, open_mixtures
from separation.errors import UserError
from separation.files import check_writable
from separation.jobs import keep_freed_memory, run_jobs
from separation.mixture_checks.checks import CHECKS, examine
from separation.mixture_checks.marks import read_marks
from separation.mixture_checks.report import format_report, sum_up, write_report
from separation.mixture_checks.sets import CheckedSet, compare_sets
from separation.mixtures.folders import MIX_FOLDERS

MODES = ("min", "max")


def validate_mixtures(args: argparse.Namespace) -> int:
    """Check all sets given, print the outcome and write it where asked for.

    Returns:
        1 where something is wrong, else 0.

    Raises:
        UserError: options that do not fit, or an argument that is no set of mixtures.
    """
    keep_freed_memory()
    _check_options(args)
    opened = [inputs for text in args.mixtures for inputs in _open(text, args)]
    checked = _name_apart([_look_at(inputs, args.nj) for inputs in opened])
    shared = compare_sets(checked)
    limits = {"min_s": args.min_s, "level_tolerance_db": args.level_tolerance}
    allowed = [*args.allow, *["leakage"] * args.allow_shared_speakers]
    report = sum_up(checked, shared, limits, allowed)
    print(format_report(report), end="", flush=True)
    if args.out:
        write_report(args.out, report, checked)
    return 1 if report["mixtures_concerned"] else 0


def _check_options(args: argparse.Namespace) -> None:
    if args.mode and args.mode not in MODES:
        raise UserError(f"--mode {args.mode}: choose of {', '.join(MODES)}.")
    if args.type and args.type not in MIX_FOLDERS:
        raise UserError(f"--type {args.type}: choose of {', '.join(MIX_FOLDERS)}.")
    for check in args.allow:
        if check not in CHECKS:
            raise UserError(f"--allow {check}: choose of {', '.join(CHECKS)}.")
    if args.rate is not None and not 4000 <= args.rate <= 48000:
        raise UserError(f"--rate {args.rate}: give Hz within 4000..48000, such as 8000.")
    for name in ("min_s", "level_tolerance"):
        value = getattr(args, name)
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"--{name.replace('_', '-')} {value}: should be 0 or more.")
    if args.nj < 1:
        raise UserError(f"--nj {args.nj}: at least 1 process.")
    if args.out:
        check_writable(args.out, "choose another with --out")


def _open(text: str, args: argparse.Namespace) -> list[MixtureList] | list[CheckedSet]:
    path = Path(text).expanduser()
    if path.suffix == ".json" and path.is_file():
        return read_marks(path, text, args.level_tolerance)
    options = InputOptions(
        *(args.corpus, args.rate, args.mode, args.type, args.sets, args.data, args.nj),
        *(args.min_s, args.level_tolerance),
    )
    return open_mixtures(text, options)


def _look_at(inputs: MixtureList | CheckedSet, n_jobs: int) -> CheckedSet:
    """Read every mixture of a set, in parallel; what has been judged already stays as it is."""
    if isinstance(inputs, CheckedSet):
        return inputs
    work = partial(examine, setting=inputs.setting)
    label = f"validate {inputs.name}"
    results = run_jobs(
        work, inputs.rows, n_jobs, total=len(inputs.rows), label=label, unit="mixture", chunk=8
    )
    return CheckedSet(inputs.name, inputs.origin, list(results))


def _name_apart(sets: list[CheckedSet]) -> list[CheckedSet]:
    """Sets of one name are told apart by what they were given as, then by number."""
    names = [checked.name for checked in sets]
    renamed: list[CheckedSet] = []
    for number, checked in enumerate(sets, 1):
        name = checked.name
        if names.count(name) > 1:
            name = f"{name} ({number})"
        renamed.append(dataclasses.replace(checked, name=name))
    return renamed
