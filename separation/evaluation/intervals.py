"""Statistics over mixtures: means with bootstrap intervals, and paired tests of two models.

All draws are seeded: the same rows give the same figures. Intervals are percentile bootstrap
intervals (Efron 1979; Efron and Tibshirani 1993, chapter 13) that draw mixtures. Mixtures which
share speakers are not independent, so such an interval says how the mean would vary over other
mixtures *of these speakers*; :func:`speaker_interval` draws speakers and is the wider for it. With
few mixtures both are too narrow: of 2,000 sets of normal data, the "95 %" interval of
:func:`mean_interval` held the true mean in 85 % for n = 5, 90 % for 10, 94 % for 30 and for 100
(``tests/evaluation/test_intervals.py`` repeats it smaller).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from separation.evaluation.score_rows import ScoreRow

N_DRAWS = 1000
N_FLIPS = 9999
EXACT_UP_TO = 13  # differences whose 2^n sign patterns are all tried
TIE = 1e-6  # rows are rounded to six decimals
CHUNK = 500  # draws held in memory at a time
INTERVAL_PERCENT = (2.5, 97.5)


class IntervalRecord(TypedDict):
    """A :class:`MeanInterval` as JSON holds it."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its 95 % interval, in the unit of the values; None where there is none.

    Attributes:
        n: values; with one there is a mean and no interval, with none neither.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None

    def rounded(self) -> "MeanInterval":
        """The same to four decimals, as summaries hold it."""
        numbers = (self.mean, self.low, self.high)
        mean, low, high = (None if value is None else round(value, 4) for value in numbers)
        return MeanInterval(self.n, mean, low, high)

    def as_dict(self) -> IntervalRecord:
        """As JSON holds it, to four decimals."""
        own = self.rounded()
        return {"mean": own.mean, "low": own.low, "high": own.high, "n": own.n}


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """First minus second, over the mixtures that both have scored.

    Attributes:
        n: mixtures compared.
        mean, low, high: of the differences, in the metric's unit; see :class:`MeanInterval`.
        p_value: of the sign-flip test; None without mixtures.
        wins, ties, losses: mixtures in which the first is higher, equal, lower.
        notes: sentences where the two did not score the same mixtures or the same audio.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    p_value: float | None
    wins: int
    ties: int
    losses: int
    notes: tuple[str, ...] = ()


def pick_values(rows: Sequence[ScoreRow], metric: str) -> dict[str, float]:
    """``{mixture_ID: value}`` of the rows that hold the metric; others have none.

    Raises:
        ValueError: a value is not finite: it must never get into a mean.
    """
    values = {row.mixture_id: row.values[metric] for row in rows if metric in row.values}
    for mixture_id, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"mixture {mixture_id}: {metric} is {value}, not a score.")
    return values


def mean_interval(values: Sequence[float] | np.ndarray, n_draws: int = N_DRAWS) -> MeanInterval:
    """Mean and 95 % percentile bootstrap interval (Efron 1979).

    Args:
        values: ``(n,)``, finite.

    Raises:
        ValueError: a value is not finite.

    >>> mean_interval([3.0])
    MeanInterval(n=1, mean=3.0, low=None, high=None)
    """
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not finite, so it has no place in a mean.")
    n = len(numbers)
    if n < 2:
        return MeanInterval(n, float(numbers[0]) if n else None, None, None)
    from scipy.stats import bootstrap

    drawn = bootstrap(
        (numbers,), np.mean, n_resamples=n_draws, batch=CHUNK, method="percentile", rng=0
    )
    low, high = drawn.confidence_interval
    return MeanInterval(n, float(numbers.mean()), float(low), float(high))


def speaker_interval(rows: Sequence[ScoreRow], metric: str, n_draws: int = N_DRAWS) -> MeanInterval:
    """Mean and 95 % bootstrap interval that draws speakers instead of mixtures.

    Each draw takes as many speakers as there are, with replacement; a mixture counts as often as
    the product of its speakers' counts (the pigeonhole bootstrap, Owen 2007), so the interval
    says how the mean would vary over other *speakers*. Rather too wide than too narrow (ibid.).
    ``n`` counts speakers; no interval where a mixture's speakers are unknown or fewer than four.
    """
    values = pick_values(rows, metric)
    speakers = {row.mixture_id: row.known_speakers for row in rows}  # wsj0-mix repeats mixtures
    teams = [speakers[mixture_id] for mixture_id in values]
    names = sorted({name for team in teams for name in team})
    numbers = np.array(list(values.values()))
    mean = float(numbers.mean()) if len(numbers) else None
    if len(names) < 4 or not all(teams) or len({len(team) for team in teams}) > 1:
        return MeanInterval(len(names), mean, None, None)
    places = np.searchsorted(names, np.array(teams))
    generator, shares = np.random.default_rng(0), np.full(len(names), 1 / len(names))
    counts = generator.multinomial(len(names), shares, size=n_draws)
    weights = np.ones((n_draws, len(numbers)))
    for column in places.T:
        weights *= counts[:, column]
    weights = weights[weights.sum(axis=1) > 0]  # a draw may hold no mixture
    if len(weights) < n_draws / 2:
        return MeanInterval(len(names), mean, None, None)
    low, high = np.percentile(weights @ numbers / weights.sum(axis=1), INTERVAL_PERCENT)
    return MeanInterval(len(names), mean, float(low), float(high))


def compare_paired(
    rows_a: Sequence[ScoreRow], rows_b: Sequence[ScoreRow], metric: str
) -> PairedDifference:
    """Compare two models on the same mixtures, matched by ``mixture_ID``.

    Args:
        rows_a, rows_b: rows of two scores tables of one test set.
        metric: a column of both, such as ``si_sdri``.

    Returns:
        the mean difference a - b with its 95 % bootstrap interval, the p-value of
        :func:`flip_signs`, and how often a is higher.

    Raises:
        ValueError: a value is not finite.
    """
    values_a, values_b = pick_values(rows_a, metric), pick_values(rows_b, metric)
    shared = [name for name in values_a if name in values_b]
    differences = np.array([values_a[name] - values_b[name] for name in shared], np.float64)
    interval = mean_interval(differences)
    return PairedDifference(
        n=interval.n,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=flip_signs(differences) if shared else None,
        wins=int((differences > TIE).sum()),
        ties=int((np.abs(differences) <= TIE).sum()),
        losses=int((differences < -TIE).sum()),
        notes=_describe_mismatch(rows_a, rows_b, len(shared)),
    )


def _describe_mismatch(
    rows_a: Sequence[ScoreRow], rows_b: Sequence[ScoreRow], n_shared: int
) -> tuple[str, ...]:
    audio_a = {row.mixture_id: row.audio for row in rows_a}
    audio_b = {row.mixture_id: row.audio for row in rows_b}
    both = audio_a.keys() & audio_b.keys()
    notes = []
    odd = sorted(audio_a.keys() ^ audio_b.keys())
    if odd:
        notes.append(f"{len(odd)} mixture(s) are in one table only, {odd[0]} the first.")
    if n_shared < len(both):
        notes.append(f"{len(both) - n_shared} mixture(s) are not scored in both and are left out.")
    other = sorted(n for n in both if audio_a[n] and audio_b[n] and audio_a[n] != audio_b[n])
    if other:
        notes.append(
            f"{len(other)} mixture(s) have the same ID and other audio (another rate or another "
            f"set), {other[0]} the first: the difference is not of the models alone."
        )
    return tuple(notes)


def flip_signs(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of paired differences: the sign-flip permutation test on their mean.

    Were the two models alike, each difference could as well have the other sign (Fisher 1935;
    Good 2005, section 3.2). Up to 13 differences all patterns are tried; above, 9,999 seeded
    ones, the observed one counted in (Phipson and Smyth 2010), so p is at least 0.0001. As
    :func:`mean_interval` it takes mixtures for independent.

    Args:
        differences: ``(n,)``, at least one.

    >>> flip_signs([1.0, 2.0, 3.0])  # two of eight patterns are as far from zero
    0.25
    """
    numbers = np.asarray(differences, np.float64)
    n = len(numbers)
    reached = abs(numbers.sum()) - 1e-9 * np.abs(numbers).sum()  # sums differ by rounding
    if n <= EXACT_UP_TO:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((np.abs((1.0 - 2 * bits) @ numbers) >= reached).mean())
    generator, n_as_far = np.random.default_rng(0), 1
    for start in range(0, N_FLIPS, CHUNK):
        bits = generator.integers(2, size=(min(CHUNK, N_FLIPS - start), n), dtype=np.int8)
        n_as_far += int((np.abs((1.0 - 2 * bits) @ numbers) >= reached).sum())
    return n_as_far / (N_FLIPS + 1)
