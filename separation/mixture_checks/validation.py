"""Sets of mixtures checked: every mixture by itself, then beside the others.

Every mixture is rendered or read once and looked at by itself
(:mod:`separation.mixture_checks.checks`), then beside the others
(:mod:`separation.mixture_checks.sets`); of each only a small record is kept.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from separation.datasets.open import MixtureList, open_mixtures
from separation.datasets.options import MixtureOptions
from separation.jobs import keep_freed_memory, run_jobs
from separation.mixture_checks.checks import examine
from separation.mixture_checks.marks import read_marks
from separation.mixture_checks.report import sum_up
from separation.mixture_checks.sets import CheckedSet, compare_sets


def validate_sets(
    texts: Sequence[str], options: MixtureOptions, allowed: Sequence[str] = ()
) -> tuple[dict[str, Any], list[CheckedSet]]:
    """Open and check all sets.

    Args:
        texts: tables, folders of audio, ``MIX:split``, or lists in JSON.
        options: how they are read.
        allowed: names of checks whose findings may pass.

    Returns:
        what is reported, and the sets.

    Raises:
        UserError: an argument that is no set of mixtures.
    """
    keep_freed_memory()
    opened = [inputs for text in texts for inputs in _open(text, options)]
    checked = _name_apart([_look_at(inputs, options.n_jobs) for inputs in opened])
    limits = {"min_s": options.min_s, "level_tolerance_db": options.level_tolerance_db}
    return sum_up(checked, compare_sets(checked), limits, [*allowed]), checked


def _open(text: str, options: MixtureOptions) -> list[MixtureList] | list[CheckedSet]:
    path = Path(text).expanduser()
    if path.suffix == ".json" and path.is_file():
        return read_marks(path, text, options.level_tolerance_db)
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
