"""Is a test set the published one? Its list by the IDs, its audio by the mean input SI-SDR."""

import logging
from dataclasses import dataclass

import numpy as np

from separation.corpora.plugin import load, read_info
from separation.datasets.evaluation_sets import EvalSet
from separation.evaluation.intervals import pick_values
from separation.evaluation.score_rows import ScoreRow
from separation.mixtures.published_lists import PublishedMatch, find_lists_by_ids, recognise

TASKS = {"mix_clean": "sep_clean", "mix_both": "sep_noisy"}
RowsOf = dict[str, list[ScoreRow]]  # by estimator
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StandardMatch:
    """What is known of a set.

    Attributes:
        notes: sentences for the report; a loud one begins with WARNING.
        standard: published test sets that it was measured to be, as :func:`name_standard` has
            them: whole, in min mode, at its own rate.
    """

    notes: tuple[str, ...] = ()
    standard: tuple[str, ...] = ()


def compare_with_published(
    eval_set: EvalSet, rows_of: RowsOf, rates: dict[str, int]
) -> StandardMatch:
    """Whether a set that bears a published list's mixture IDs holds the published mixtures.

    Args:
        rows_of: scores by estimator.
        rates: Hz, at which each estimator's rows were scored.
    """
    match = recognise(eval_set.rows)
    if match is None:
        return StandardMatch(_describe_part(eval_set))
    if not match.is_same:
        text = (
            f"WARNING: it has the mixture IDs of the published {match.name} but other paths or "
            "gains: THESE ARE NOT THE STANDARD MIXTURES."
        )
        logger.warning("%s: %s", eval_set.name, text)
        return StandardMatch((text,))
    known = f"The published list {match.name} (by its mixture IDs; {len(eval_set.rows)} mixtures)."
    if not eval_set.is_min_mode:
        return StandardMatch((known, _explain_unchecked("nothing is published in max mode")))
    means = measure_inputs(eval_set, rows_of, rates)
    if not means:
        return StandardMatch((known, _explain_unchecked(_find_reason(eval_set, rows_of))))
    standard, notes = _compare_means(eval_set, match, means)
    return StandardMatch((known, *notes), standard)


def _compare_means(
    eval_set: EvalSet, match: PublishedMatch, means: dict[int, float]
) -> tuple[tuple[str, ...], list[str]]:
    """Published sets that the set measures like, and a sentence a rate."""
    kind = eval_set.mixture_type
    compare_input = load(match.lists).compare_input
    compared = {rate: compare_input(match.name, kind, rate, mean) for rate, mean in means.items()}
    loud = [one.text for one in compared.values() if one.warned]
    for text in loud:
        logger.warning("%s: %s", eval_set.name, text)
    notes = [
        one.text or _explain_unchecked(f"none is published at {rate} Hz")
        for rate, one in compared.items()
    ]
    title = f"{read_info(match.lists).mixtures.format(n_src=eval_set.n_src)} test, min"
    fitting = tuple(
        name_standard(f"{title}, {rate // 1000} kHz", TASKS[one.kind])
        for rate, one in compared.items()
        if one.kind and eval_set.own_rate in (0, rate)
    )
    return () if loud else fitting, notes


def _find_reason(eval_set: EvalSet, rows_of: RowsOf) -> str:
    if all(len(pick_values(rows, "input_si_sdr")) < len(rows) for rows in rows_of.values()):
        return "some of its mixtures could not be measured"
    return f"it was scored above its own {eval_set.own_rate} Hz only; add a model of that rate"


def _explain_unchecked(reason: str) -> str:
    return f"Its mean input SI-SDR is not checked against the published one: {reason}."


def _describe_part(eval_set: EvalSet) -> tuple[str, ...]:
    """A sentence where the IDs are of a published list's kind but not those of a whole one."""
    rows = [row for row in eval_set.rows if not row.fault]
    lists = find_lists_by_ids(rows)
    if not lists:
        return ()
    length = load(lists).LIST_LENGTH
    size = f"{len(rows):,} of {length:,} mixtures" if len(rows) < length else "other ones"
    return (
        f"The mixture IDs are of {read_info(lists).title}'s kind. "
        + _explain_unchecked(f"it is no whole published list (a test or dev list: {size})"),
    )


def measure_inputs(eval_set: EvalSet, rows_of: RowsOf, rates: dict[str, int]) -> dict[int, float]:
    """Mean input SI-SDR in dB of the whole set, by the rate in Hz at which it was measured.

    Audio resampled to a lower rate is as good as made at it (0.00001 dB apart) and counts where
    nothing was scored at its own. A higher rate does not: the filter takes of white noise near the
    band's edge what moves the mean by 0.02 dB. Rates at which a mixture has no value are left out.
    """
    means: dict[int, float] = {}
    for name, rows in rows_of.items():
        values = [*pick_values(rows, "input_si_sdr").values()]
        if len(values) == len(rows):
            means.setdefault(rates[name], float(np.mean(values)))
    if eval_set.own_rate == 0:
        return means
    if eval_set.own_rate in means:
        return {eval_set.own_rate: means[eval_set.own_rate]}
    return {rate: mean for rate, mean in means.items() if rate < eval_set.own_rate}


def name_standard(test_set: str, task: str) -> str:
    """A published test set in full, as the published models' list has it, clean and noisy apart.

    >>> name_standard("Libri2Mix test, min, 8 kHz", "sep_noisy")
    'Libri2Mix test, min, 8 kHz, sep_noisy'
    """
    return f"{test_set}, {task}"
