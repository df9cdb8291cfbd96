"""The interval that a score is reported with: one that draws speakers wherever they are known.

An interval that draws mixtures says how a mean would vary over other mixtures of the same people.
With 500 mixtures of three people it is narrow and says nothing of a fourth; so where speakers are
known they are drawn, and where they are too few for that there is no interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from separation.evaluation.intervals import (
    MeanInterval,
    mean_interval,
    pick_values,
    speaker_interval,
)
from separation.evaluation.score_rows import ScoreRow

FEW_SPEAKERS = 10  # below it an interval that draws speakers is a rough one


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A mean over mixtures with the interval that it is reported with.

    Attributes:
        interval: the mean; without bounds where there is no interval. Its ``n`` counts what was
            drawn.
        n_mixtures: in the mean.
        n_speakers: in these mixtures; 0 where they are not known of every mixture.
    """

    interval: MeanInterval
    n_mixtures: int
    n_speakers: int

    @property
    def draws_speakers(self) -> bool:
        """Whether the interval draws speakers; else mixtures, or there is none."""
        return self.n_speakers > 0

    @property
    def sign(self) -> int:
        """1 where the whole interval lies above zero, -1 below; 0: it holds zero, or is none."""
        low, high = self.interval.low, self.interval.high
        if low is None or high is None:
            return 0
        return (low > 0) - (high < 0)


def measure_headline(rows: Sequence[ScoreRow], metric: str) -> Headline:
    """Mean of a metric with the interval that draws speakers, or mixtures where none are known.

    Raises:
        ValueError: a value is not finite.
    """
    values = pick_values(rows, metric)
    scored = [row for row in rows if row.mixture_id in values]
    if scored and all(row.known_speakers for row in scored):
        n_speakers = len({name for row in scored for name in row.known_speakers})
        interval = speaker_interval(scored, metric)
    else:
        n_speakers, interval = 0, mean_interval(list(values.values()))
    return Headline(interval=interval.rounded(), n_mixtures=len(values), n_speakers=n_speakers)


def measure_difference(
    rows_a: Sequence[ScoreRow], rows_b: Sequence[ScoreRow], metric: str
) -> Headline:
    """First minus second over the mixtures that both have scored, as :func:`measure_headline`."""
    first, second = pick_values(rows_a, metric), pick_values(rows_b, metric)
    differences = [
        ScoreRow(
            mixture_id=row.mixture_id,
            speakers=row.speakers,
            values={metric: first[row.mixture_id] - second[row.mixture_id]},
        )
        for row in rows_a
        if row.mixture_id in first and row.mixture_id in second
    ]
    return measure_headline(differences, metric)
