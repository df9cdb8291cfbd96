"""Break-down of scores by sex pair, level difference, length, overlap and speaker."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from separation.evaluation.intervals import MeanInterval, mean_interval, pick_values
from separation.evaluation.score_rows import ScoreRow

FRAME_S = 0.0256
ACTIVE_RANGE_DB = 40.0
PAIRS = ("same-sex", "different-sex", "unknown")
Groups = dict[str, dict[str, MeanInterval]]  # by kind of group, then group


@dataclass(frozen=True, kw_only=True)
class Bins:
    """How mixtures are grouped by a number.

    Attributes:
        read: the number of a row; None where it has none.
        edges: a bin holds its lower edge and not its upper one.
        factor, unit: in which the edges are named.
    """

    read: Callable[[ScoreRow], float | None]
    edges: tuple[float, ...]
    factor: int
    unit: str

    def names(self) -> list[str]:
        """``below 3 s``, ``3 to 5 s`` and so on."""
        shown = [f"{edge * self.factor:g}" for edge in self.edges]
        between = [f"{low} to {high} {self.unit}" for low, high in itertools.pairwise(shown)]
        return [f"below {shown[0]} {self.unit}", *between, f"{shown[-1]} {self.unit} or more"]


BINS = {
    "level difference": Bins(
        read=lambda row: row.level_difference_db, edges=(2.5, 5.0, 10.0), factor=1, unit="dB"
    ),
    "length": Bins(read=lambda row: row.duration_s, edges=(3.0, 5.0, 10.0), factor=1, unit="s"),
    "overlap": Bins(
        read=lambda row: row.overlap, edges=(0.25, 0.5, 0.75, 0.9), factor=100, unit="%"
    ),
}


class Description(NamedTuple):
    """What makes a mixture easy or hard.

    Attributes:
        duration_s: of the mixture.
        level_difference_db: mean power of the loudest over the quietest source, None where a
            source is silent or alone.
        overlap: share (0 to 1) of the time in which anybody speaks that at least two do, None
            where nobody does.
    """

    duration_s: float
    level_difference_db: float | None
    overlap: float | None


def describe_mixture(mixture: np.ndarray, sources: np.ndarray, sample_rate: int) -> Description:
    """Length, level difference and overlap of a mixture.

    A source speaks in a frame of 25.6 ms whose energy lies within 40 dB of its loudest frame's:
    the rule by which STOI drops silence (Taal et al. 2011, section II-A), without its frames'
    overlap.

    Args:
        mixture: ``(time,)``.
        sources: ``(n_src, time)``.
        sample_rate: Hz.
    """
    powers = (np.asarray(sources, np.float64) ** 2).mean(axis=-1)
    difference = None
    if len(powers) > 1 and np.isfinite(powers).all() and powers.min() > 0:
        difference = round(float(10 * np.log10(powers.max() / powers.min())), 4)
    speaking = _find_active(np.asarray(sources, np.float64), sample_rate).sum(axis=0)
    anybody = int((speaking > 0).sum())
    return Description(
        duration_s=round(len(mixture) / sample_rate, 6),
        level_difference_db=difference,
        overlap=round(int((speaking > 1).sum()) / anybody, 4) if anybody else None,
    )


def _find_active(sources: np.ndarray, sample_rate: int) -> np.ndarray:
    """``(n_src, frame)``: whether a source speaks."""
    size = max(1, round(FRAME_S * sample_rate))
    shortage = -sources.shape[-1] % size
    padded = np.pad(np.nan_to_num(sources), ((0, 0), (0, shortage)))
    energies = (padded.reshape(len(sources), -1, size) ** 2).sum(axis=-1)
    loudest = energies.max(axis=-1, keepdims=True, initial=0.0)
    return (energies > 0) & (energies >= loudest * 10 ** (-ACTIVE_RANGE_DB / 10))


def list_metrics(rows: Sequence[ScoreRow]) -> list[str]:
    """Scores of a whole mixture, in the order of their columns: those worth a mean."""
    columns = dict.fromkeys(column for row in rows for column in row.values)
    return [column for column in columns if not column.rsplit("_", 1)[-1].isdigit()]


def list_problems(rows: Sequence[ScoreRow]) -> dict[str, list[str]]:
    """``{problem: [mixture_IDs]}`` of the rows that name any."""
    whose: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for name in row.problems:
            whose[name].append(row.mixture_id)
    return dict(sorted(whose.items()))


def break_down(rows: Sequence[ScoreRow], metric: str) -> Groups:
    """Means of a metric by what a mixture is like.

    Args:
        rows: of a scores table; those without the metric are left out.

    Returns:
        ``{"sex pair", "level difference", "length", "overlap", "speaker": {group: mean}}``; groups
        without mixtures are left out, those of numbers come in order. A speaker's mean is over
        the mixtures that the speaker is in, the lowest first.

    Raises:
        ValueError: a value is not finite.
    """
    values = pick_values(rows, metric)
    scored = [row for row in rows if row.mixture_id in values]
    kinds = {"sex pair": _group_pairs(scored, values)}
    kinds |= {kind: _group_bins(scored, values, bins) for kind, bins in BINS.items()}
    kinds["speaker"] = _group_speakers(scored, values)
    means = {
        kind: {name: mean_interval(members) for name, members in groups.items()}
        for kind, groups in kinds.items()
    }
    ranked = sorted(means["speaker"].items(), key=lambda pair: (pair[1].mean, pair[0]))
    return means | {"speaker": dict(ranked)}


@dataclass(frozen=True)
class Breakdown:
    """Scores broken down.

    Attributes:
        groups: means to four decimals, by kind of group and group.
        input_correlation: rank correlation of the metric with the input's score.
    """

    groups: Groups
    input_correlation: float | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        groups = {
            kind: {name: mean.as_dict() for name, mean in means.items()}
            for kind, means in self.groups.items()
        }
        return {"groups": groups, "input_correlation": self.input_correlation}


def measure_breakdown(rows: Sequence[ScoreRow], metric: str) -> Breakdown:
    """Scores broken down, and their correlation with the input's.

    Raises:
        ValueError: a value is not finite.
    """
    groups = {
        kind: {name: mean.rounded() for name, mean in means.items()}
        for kind, means in break_down(rows, metric).items()
    }
    correlation = correlate(rows, metric, f"input_{metric.removesuffix('i')}")
    return Breakdown(groups, None if correlation is None else round(correlation, 3))


def list_groups() -> dict[str, list[str]]:
    """The groups of every kind but the speakers, in order."""
    return {"sex pair": list(PAIRS)} | {kind: bins.names() for kind, bins in BINS.items()}


def _group_pairs(rows: Sequence[ScoreRow], values: dict[str, float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {name: [] for name in PAIRS}
    for row in rows:
        groups[row.pair if row.pair in groups else "unknown"].append(values[row.mixture_id])
    return {name: members for name, members in groups.items() if members}


def _group_bins(
    rows: Sequence[ScoreRow], values: dict[str, float], bins: Bins
) -> dict[str, list[float]]:
    """Rows without the number are in no bin."""
    names = bins.names()
    groups: dict[str, list[float]] = {name: [] for name in names}
    for row in rows:
        number = bins.read(row)
        if number is not None:
            place = int(np.searchsorted(bins.edges, number, side="right"))
            groups[names[place]].append(values[row.mixture_id])
    return {name: members for name, members in groups.items() if members}


def _group_speakers(rows: Sequence[ScoreRow], values: dict[str, float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name in sorted(set(row.known_speakers)):
            groups[name].append(values[row.mixture_id])
    return dict(groups)


def correlate(rows: Sequence[ScoreRow], metric: str, other: str) -> float | None:
    """Spearman's rank correlation of two columns over the rows that hold both.

    None below three rows, or where a column does not vary.
    """
    from scipy.stats import rankdata

    first, second = pick_values(rows, metric), pick_values(rows, other)
    shared = [name for name in first if name in second]
    if len(shared) < 3:
        return None
    ranks = [rankdata([values[name] for name in shared]) for values in (first, second)]
    if any(np.ptp(ranked) == 0 for ranked in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def rank_worst(rows: Sequence[ScoreRow], metric: str, n_worst: int) -> list[ScoreRow]:
    """The rows of the lowest values, the lowest first; rows without a value are no candidates."""
    values = pick_values(rows, metric)
    scored = [row for row in rows if row.mixture_id in values]
    return sorted(scored, key=lambda row: (values[row.mixture_id], row.mixture_id))[:n_worst]
