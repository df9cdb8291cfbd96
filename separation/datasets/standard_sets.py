"""Is a test set the published one? Its list by the IDs, its audio by the mean input SI-SDR."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from separation.corpora.plugin import load, read_info
from separation.datasets.evaluation_sets import TestSet, tell_type
from separation.mixtures.published_lists import PublishedMatch, find_lists_by_ids, recognise

TASKS = {"mix_clean": "sep_clean", "mix_both": "sep_noisy"}
RowsOf = dict[str, list[dict[str, Any]]]  # by estimator
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What is known of a set.

    Attributes:
        notes: sentences for the report; a loud one begins with WARNING.
        standard: published test sets that it was measured to be, as :func:`name_standard` has
            them: whole, in min mode, at its own rate.
    """

    notes: tuple[str, ...] = ()
    standard: tuple[str, ...] = ()


def judge_set(test_set: TestSet, rows_of: RowsOf, rates: dict[str, int]) -> Verdict:
    """Whether a set that bears a published list's mixture IDs holds the published mixtures.

    Args:
        rows_of: scores by estimator.
        rates: Hz, at which each estimator's rows were scored.
    """
    match = recognise(test_set.rows)
    if match is None:
        return Verdict(_tell_part(test_set))
    if not match.is_same:
        text = (
            f"WARNING: it has the mixture IDs of the published {match.name} but other paths or "
            "gains: THESE ARE NOT THE STANDARD MIXTURES."
        )
        logger.warning("%s: %s", test_set.name, text)
        return Verdict((text,))
    known = f"The published list {match.name} (by its mixture IDs; {len(test_set.rows)} mixtures)."
    if not test_set.in_min_mode():
        return Verdict((known, _tell_unchecked("nothing is published in max mode")))
    means = measure_inputs(test_set, rows_of, rates)
    if not means:
        return Verdict((known, _tell_unchecked(_find_reason(test_set, rows_of))))
    standard, notes = _compare_means(test_set, match, means)
    return Verdict((known, *notes), standard)


def _compare_means(
    test_set: TestSet, match: PublishedMatch, means: dict[int, float]
) -> tuple[tuple[str, ...], list[str]]:
    """Published sets that the set measures like, and a sentence a rate."""
    kind = tell_type(test_set.rows, test_set.setting)
    compare_input = load(match.lists).compare_input
    judged = {rate: compare_input(match.name, kind, rate, mean) for rate, mean in means.items()}
    loud = [own.text for own in judged.values() if own.warned]
    for text in loud:
        logger.warning("%s: %s", test_set.name, text)
    notes = [
        own.text or _tell_unchecked(f"none is published at {rate} Hz")
        for rate, own in judged.items()
    ]
    title = f"{read_info(match.lists).mixtures.format(n_src=test_set.n_src)} test, min"
    fitting = tuple(
        name_standard(f"{title}, {rate // 1000} kHz", TASKS[own.kind])
        for rate, own in judged.items()
        if own.kind and test_set.own_rate in (0, rate)
    )
    return () if loud else fitting, notes


def _find_reason(test_set: TestSet, rows_of: RowsOf) -> str:
    if all(any("input_si_sdr" not in row for row in rows) for rows in rows_of.values()):
        return "some of its mixtures could not be measured"
    return f"it was scored above its own {test_set.own_rate} Hz only; add a model of that rate"


def _tell_unchecked(reason: str) -> str:
    return f"Its mean input SI-SDR is not checked against the published one: {reason}."


def _tell_part(test_set: TestSet) -> tuple[str, ...]:
    """A sentence where the IDs are of a published list's kind but not those of a whole one."""
    rows = [row for row in test_set.rows if "row_fault" not in row]
    lists = find_lists_by_ids(rows)
    if not lists:
        return ()
    length = load(lists).LIST_LENGTH
    told = f"{len(rows):,} of {length:,} mixtures" if len(rows) < length else "other ones"
    return (
        f"The mixture IDs are of {read_info(lists).title}'s kind. "
        + _tell_unchecked(f"it is no whole published list (a test or dev list: {told})"),
    )


def measure_inputs(test_set: TestSet, rows_of: RowsOf, rates: dict[str, int]) -> dict[int, float]:
    """Mean input SI-SDR in dB of the whole set, by the rate in Hz at which it was measured.

    Audio resampled to a lower rate is as good as made at it (0.00001 dB apart) and counts where
    nothing was scored at its own. A higher rate does not: the filter takes of white noise near the
    band's edge what moves the mean by 0.02 dB. Rates at which a mixture has no value are left out.
    """
    means: dict[int, float] = {}
    for name, rows in rows_of.items():
        values = [row["input_si_sdr"] for row in rows if "input_si_sdr" in row]
        if len(values) == len(rows):
            means.setdefault(rates[name], float(np.mean(values)))
    if test_set.own_rate == 0:
        return means
    if test_set.own_rate in means:
        return {test_set.own_rate: means[test_set.own_rate]}
    return {rate: mean for rate, mean in means.items() if rate < test_set.own_rate}


def name_standard(test_set: str, task: str) -> str:
    """A published test set in full, as :class:`PublishedModel` has it: clean and noisy apart.

    >>> name_standard("Libri2Mix test, min, 8 kHz", "sep_noisy")
    'Libri2Mix test, min, 8 kHz, sep_noisy'
    """
    return f"{test_set}, {task}"
