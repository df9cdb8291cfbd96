"""Figures of a comparison: means, intervals, ceilings, paired differences, break-downs."""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from separation.compare.comparison import Comparison, ModelInfo, ScoredSet
from separation.config.schema import ORACLES
from separation.evaluation.breakdown import (
    Breakdown,
    list_metrics,
    measure_breakdown,
    rank_worst,
)
from separation.evaluation.headline import Headline, measure_difference, measure_headline
from separation.evaluation.intervals import (
    MeanInterval,
    PairedDifference,
    compare_paired,
    mean_interval,
    pick_values,
    speaker_interval,
)
from separation.evaluation.score_rows import ScoreRow
from separation.evaluation.summary import GroupSummary, summarise

ALL_PAIRS_UP_TO = 4  # models; of more, each is compared with the best
RowsOf = Mapping[str, list[ScoreRow]]  # by model


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The best oracle beside a model, over the mixtures that both have scored.

    Attributes:
        oracle: ``ibm``, ``irm`` or ``wfm``.
        ceiling: its mean.
        mean: the model's.
        n: mixtures.
    """

    oracle: str
    ceiling: float
    mean: float
    n: int

    @property
    def share(self) -> float:
        """Of the way from the mixture to the oracle."""
        return self.mean / self.ceiling


@dataclass(frozen=True, kw_only=True)
class ClippingCost:
    """What writing 16-bit files costs: SI-SDR before minus after, in dB.

    Attributes:
        cost: mean over the mixtures.
        n_clipped: mixtures that clip.
        worst_id: the mixture that loses most.
        worst_cost: what it loses.
    """

    cost: MeanInterval
    n_clipped: int
    worst_id: str
    worst_cost: float


@dataclass(frozen=True, kw_only=True)
class ModelPair:
    """Two models on the same mixtures, that of the higher mean first.

    Attributes:
        a, b: names.
        difference: a minus b with the interval and the p-value that draw mixtures.
        headline: the same difference with the interval that draws speakers where they are known.
    """

    a: str
    b: str
    difference: PairedDifference
    headline: Headline


@dataclass(frozen=True, kw_only=True)
class SetFigures:
    """Figures of one test set; all but ``estimators`` are of models, in the ranking metric.

    Attributes:
        scored: the set with its rows.
        estimators: means by estimator and group.
        headlines: means by estimator and metric, with the intervals that are reported.
        speaker_intervals: means with intervals that draw speakers.
        ceilings: None where no oracle was scored on the model's mixtures.
        paired: differences of the models.
        breakdowns: by sex pair, level, length, overlap and speaker.
        worst: the mixtures of the lowest scores.
        clipping: of those models whose 16-bit estimates were scored.
    """

    scored: ScoredSet
    estimators: Mapping[str, Mapping[str, GroupSummary]]
    headlines: Mapping[str, Mapping[str, Headline]]
    speaker_intervals: Mapping[str, MeanInterval]
    ceilings: Mapping[str, Ceiling | None]
    paired: list[ModelPair]
    breakdowns: Mapping[str, Breakdown]
    worst: Mapping[str, list[ScoreRow]]
    clipping: Mapping[str, ClippingCost]

    def find_headline(self, estimator: str, metric: str) -> Headline | None:
        """A mean over all mixtures with the interval that is reported; None where there is none."""
        return self.headlines.get(estimator, {}).get(metric)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that a report of a comparison prints.

    Attributes:
        comparison: models, sets and rows.
        metric: the ranking one.
        notes: every note and warning, each once.
        sets: figures of each test set.
    """

    comparison: Comparison
    metric: str
    notes: list[str]
    sets: list[SetFigures]


def choose_metric(metrics: tuple[str, ...]) -> str:
    """The metric that ranks: SI-SDRi where SI-SDR is scored, else the first one's improvement."""
    first = "si_sdr" if "si_sdr" in metrics else metrics[0]
    return first if first == "sar" else f"{first}i"


def compute_figures(comparison: Comparison, n_worst: int) -> Figures:
    """All figures of a comparison.

    Args:
        comparison: every set with its rows.
        n_worst: mixtures named of every model and set.

    Raises:
        ValueError: a value is not finite.
    """
    metric = choose_metric(comparison.metrics)
    names = [model.name for model in comparison.models]
    sets = [_compute_set(scored, names, metric, n_worst) for scored in comparison.sets]
    odd_pairs = [
        f"{figures.scored.name}, {pair.a} and {pair.b}: {note}"
        for figures in sets
        for pair in figures.paired
        for note in pair.difference.notes
    ]
    notes = [*list_notes(comparison), *odd_pairs]
    return Figures(comparison=comparison, metric=metric, notes=notes, sets=sets)


def list_notes(comparison: Comparison) -> list[str]:
    """Every note and warning of models, sets, and estimators on sets; each once."""
    notes = [f"{model.name}: {note}" for model in comparison.models for note in model.notes]
    for scored in comparison.sets:
        notes += [f"{scored.name}: {note}" for note in scored.notes]
        notes += _list_shared(scored)
    return list(dict.fromkeys(notes))


def _list_shared(scored: ScoredSet) -> list[str]:
    """Notes on a set's estimators; one that concerns all of them is said once."""
    whose: dict[str, list[str]] = {}
    for name, notes in scored.notes_of.items():
        for note in notes:
            whose.setdefault(note, []).append(name)
    return [
        f"{scored.name}: {note}"
        if len(names) == len(scored.rows)
        else f"{scored.name}, {', '.join(names)}: {note}"
        for note, names in whose.items()
    ]


def _compute_set(scored: ScoredSet, models: list[str], metric: str, n_worst: int) -> SetFigures:
    rows_of = {
        name: scored.rows[name] for name in models if pick_values(scored.rows.get(name, []), metric)
    }
    clipping = {name: _measure_clipping(rows) for name, rows in rows_of.items()}
    return SetFigures(
        scored=scored,
        estimators={name: summarise(rows) for name, rows in scored.rows.items() if rows},
        headlines={name: _measure_headlines(rows) for name, rows in scored.rows.items()},
        speaker_intervals={
            name: speaker_interval(rows, metric).rounded() for name, rows in rows_of.items()
        },
        ceilings={name: _measure_ceiling(scored, rows, metric) for name, rows in rows_of.items()},
        paired=_compare_models(rows_of, metric),
        breakdowns={name: measure_breakdown(rows, metric) for name, rows in rows_of.items()},
        worst={name: rank_worst(rows, metric, n_worst) for name, rows in rows_of.items()},
        clipping={name: cost for name, cost in clipping.items() if cost},
    )


def _measure_headlines(rows: list[ScoreRow]) -> dict[str, Headline]:
    """By metric; one that no row has is absent."""
    return {
        metric: measure_headline(rows, metric)
        for metric in list_metrics(rows)
        if pick_values(rows, metric)
    }


def _measure_ceiling(scored: ScoredSet, rows: list[ScoreRow], metric: str) -> Ceiling | None:
    values = pick_values(rows, metric)
    best: Ceiling | None = None
    for name in ORACLES:
        oracle = pick_values(scored.rows.get(name, []), metric)
        shared = [mixture_id for mixture_id in oracle if mixture_id in values]
        top = sum(oracle[mixture_id] for mixture_id in shared) / max(1, len(shared))
        if top > (best.ceiling if best else 0.0):
            mean = sum(values[mixture_id] for mixture_id in shared) / len(shared)
            best = Ceiling(oracle=name, ceiling=top, mean=mean, n=len(shared))
    return best


def _compare_models(rows_of: RowsOf, metric: str) -> list[ModelPair]:
    """Paired differences, the model of the higher mean first."""
    means = {name: fmean(pick_values(rows, metric).values()) for name, rows in rows_of.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    pairs = list(itertools.combinations(ranked, 2))
    if len(ranked) > ALL_PAIRS_UP_TO:
        pairs = [(ranked[0], name) for name in ranked[1:]]
    return [
        ModelPair(
            a=a,
            b=b,
            difference=compare_paired(rows_of[a], rows_of[b], metric),
            headline=measure_difference(rows_of[a], rows_of[b], metric),
        )
        for a, b in pairs
    ]


def _measure_clipping(rows: list[ScoreRow]) -> ClippingCost | None:
    """None where 16-bit estimates were not scored."""
    before, after = pick_values(rows, "si_sdr"), pick_values(rows, "si_sdr_16bit")
    costs = {name: before[name] - value for name, value in after.items() if name in before}
    if not costs:
        return None
    worst = max(costs, key=lambda name: costs[name])
    return ClippingCost(
        cost=mean_interval(list(costs.values())).rounded(),
        n_clipped=sum(bool(row.n_clipped) for row in rows),
        worst_id=worst,
        worst_cost=round(costs[worst], 4),
    )


def figures_to_json(figures: Figures) -> dict[str, Any]:
    """``comparison.json``; the rows themselves stay in their CSV files."""
    comparison = figures.comparison
    return {
        "about": comparison.about,
        "metrics": list(comparison.metrics),
        "metric": figures.metric,
        "notes": figures.notes,
        "models": [_model_to_json(model) for model in comparison.models],
        "sets": [_set_to_json(own, figures.metric) for own in figures.sets],
    }


def _model_to_json(model: ModelInfo) -> dict[str, Any]:
    record = asdict(model)
    if model.published is not None:
        record["published"]["set"] = model.published_set
    return record


def _set_to_json(figures: SetFigures, metric: str) -> dict[str, Any]:
    scored, paired = figures.scored, figures.paired
    return _scored_to_json(scored) | {
        "estimators": {
            name: {group: own.as_dict() for group, own in groups.items()}
            for name, groups in figures.estimators.items()
        },
        "speaker_intervals": {n: own.as_dict() for n, own in figures.speaker_intervals.items()},
        "ceilings": {n: _ceiling_to_json(own) for n, own in figures.ceilings.items()},
        "paired": [_pair_to_json(pair) for pair in paired],
        "breakdowns": {n: own.as_dict() for n, own in figures.breakdowns.items()},
        "worst": {n: [_row_to_json(r, metric) for r in own] for n, own in figures.worst.items()},
        "sixteen_bit": {n: _clipping_to_json(own) for n, own in figures.clipping.items()},
    }


def _pair_to_json(pair: ModelPair) -> dict[str, Any]:
    headline = pair.headline
    reported = headline.interval.as_dict() | {"draws_speakers": headline.draws_speakers}
    return {"a": pair.a, "b": pair.b} | asdict(pair.difference) | {"reported": reported}


def _scored_to_json(scored: ScoredSet) -> dict[str, Any]:
    """What a set is, without its rows."""
    record = {name: value for name, value in vars(scored).items() if name != "rows"}
    return record | {"audio": {str(rate): value for rate, value in scored.audio.items()}}


def _ceiling_to_json(ceiling: Ceiling | None) -> dict[str, Any] | None:
    return None if ceiling is None else asdict(ceiling) | {"share": ceiling.share}


def _row_to_json(row: ScoreRow, metric: str) -> dict[str, Any]:
    record = {
        "mixture_ID": row.mixture_id,
        "pair": row.pair,
        "duration_s": row.duration_s,
        "level_difference_db": row.level_difference_db,
        "overlap": row.overlap,
        "problems": " ".join(row.problems),
    }
    filled = {key: value for key, value in record.items() if value not in (None, "")}
    return filled | {"speakers": row.known_speakers, metric: row.values[metric]}


def _clipping_to_json(clipping: ClippingCost) -> dict[str, Any]:
    return {
        "cost": clipping.cost.as_dict(),
        "n_clipped": clipping.n_clipped,
        "worst": {"mixture_ID": clipping.worst_id, "cost": clipping.worst_cost},
    }
