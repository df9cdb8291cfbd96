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

from separation.datasets.open import open_datasets
from separation.datasets.options import MixtureOptions
from separation.jobs import keep_freed_memory, run_jobs
from separation.mixture_checks.checks import Limits, examine
from separation.mixture_checks.marks import read_marks
from separation.mixture_checks.report import sum_up
from separation.mixture_checks.sets import CheckedSet, compare_sets
from separation.mixtures.dataset import MixtureDataset


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
    limits = Limits(options.min_s, options.level_tolerance_db)
    opened = [(text, found) for text in texts for found in _open(text, options)]
    checked = _name_apart([_look_at(found, text, limits, options.n_jobs) for text, found in opened])
    shared = compare_sets(checked)
    return sum_up(checked, shared, dataclasses.asdict(limits), [*allowed]), checked


def _open(text: str, options: MixtureOptions) -> list[MixtureDataset] | list[CheckedSet]:
    path = Path(text).expanduser()
    if path.suffix == ".json" and path.is_file():
        return read_marks(path, text, options.level_tolerance_db)
    return open_datasets(text, options)


def _look_at(
    found: MixtureDataset | CheckedSet, text: str, limits: Limits, n_jobs: int
) -> CheckedSet:
    """Read every mixture of a set, in parallel; what was checked elsewhere stays as it is."""
    if isinstance(found, CheckedSet):
        return found
    work = partial(examine, options=found.options, limits=limits)
    label = f"validate {found.name}"
    results = run_jobs(
        work, found.rows, n_jobs, total=len(found.rows), label=label, unit="mixture", chunk=8
    )
    return CheckedSet(name=found.name, origin=text, records=list(results))


def _name_apart(sets: list[CheckedSet]) -> list[CheckedSet]:
    """Sets of one name are numbered."""
    names = [checked.name for checked in sets]
    renamed: list[CheckedSet] = []
    for number, checked in enumerate(sets, 1):
        name = checked.name
        if names.count(name) > 1:
            name = f"{name} ({number})"
        renamed.append(dataclasses.replace(checked, name=name))
    return renamed
