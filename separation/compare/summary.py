"""A comparison's figures: all that its report prints, as JSON holds it."""

import itertools
from dataclasses import asdict
from statistics import fmean
from typing import Any

from separation.compare.comparison import ORACLES, Comparison, ModelInfo, ScoredSet
from separation.datasets.standard_sets import name_standard
from separation.evaluation.breakdown import rank_worst
from separation.evaluation.intervals import (
    compare_paired,
    list_speakers,
    mean_interval,
    pick_values,
    speaker_interval,
)
from separation.evaluation.summary import summarise
from separation.reports.breakdown import measure_breakdowns

ALL_PAIRS_UP_TO = 4  # models; of more, each is compared with the best


def choose_metric(metrics: tuple[str, ...]) -> str:
    """The metric that ranks: SI-SDRi where SI-SDR is scored, else the first one's improvement."""
    first = "si_sdr" if "si_sdr" in metrics else metrics[0]
    return first if first == "sar" else f"{first}i"


def sum_up(comparison: Comparison, n_worst: int) -> dict[str, Any]:
    """All figures of a comparison; the rows themselves stay in their CSV files.

    Returns:
        ``about``, ``metrics``, ``metric`` (the ranking one), ``notes``, ``models`` and ``sets``.
        A set holds ``estimators`` (:func:`separation.evaluation.summary.summarise`), and by model
        ``breakdowns``, ``worst``, ``speaker_intervals``, ``ceilings``, ``sixteen_bit``; ``paired``
        is a list.

    Raises:
        ValueError: a value is not finite.
    """
    metric = choose_metric(comparison.metrics)
    names = [model.name for model in comparison.models]
    sets = [_sum_up_set(own, names, metric, n_worst) for own in comparison.sets]
    odd = [
        (own["name"], pair, note)
        for own in sets
        for pair in own["paired"]
        for note in pair["notes"]
    ]
    notes = list_notes(comparison)
    return {
        "about": comparison.about,
        "metrics": list(comparison.metrics),
        "metric": metric,
        "notes": notes
        + [f"{name}, {pair['a']} and {pair['b']}: {note}" for name, pair, note in odd],
        "models": [_describe_model(model) for model in comparison.models],
        "sets": sets,
    }


def list_notes(comparison: Comparison) -> list[str]:
    """Every note and warning of models, sets, and estimators on sets; each once."""
    notes = [f"{model.name}: {note}" for model in comparison.models for note in model.notes]
    for own in comparison.sets:
        notes += [f"{own.name}: {note}" for note in own.notes]
        notes += _list_shared(own)
    return list(dict.fromkeys(notes))


def _list_shared(own: ScoredSet) -> list[str]:
    """Notes on a set's estimators; one that concerns all of them is told once."""
    names: dict[str, list[str]] = {}
    for name, told in own.notes_of.items():
        for note in told:
            names.setdefault(note, []).append(name)
    return [
        f"{own.name}{'' if len(whose) == len(own.rows) else ', ' + ', '.join(whose)}: {note}"
        for note, whose in names.items()
    ]


def _describe_model(model: ModelInfo) -> dict[str, Any]:
    described = asdict(model) | {"notes": list(model.notes)}
    published = model.published
    if published is not None:
        described["published"]["set"] = name_standard(published.test_set, published.task)
    return described


def _sum_up_set(own: ScoredSet, models: list[str], metric: str, n_worst: int) -> dict[str, Any]:
    described = {
        key: getattr(own, key)
        for key in (
            *("name", "kind", "type", "mode", "sample_rate", "n_src", "n_mixtures", "n_whole"),
            "fingerprint",
        )
    }
    described["audio"] = {str(rate): value for rate, value in own.audio.items()}
    summaries = {name: summarise(rows) for name, rows in own.rows.items() if rows}
    rows_of = {
        name: own.rows[name] for name in models if pick_values(own.rows.get(name, []), metric)
    }
    worst = {name: rank_worst(rows, metric, n_worst) for name, rows in rows_of.items()}
    return described | {
        "standard": list(own.standard),
        "notes": list(own.notes),
        "notes_of": {name: list(notes) for name, notes in own.notes_of.items()},
        "estimators": summaries,
        "speaker_intervals": {
            name: speaker_interval(rows, metric).as_dict() for name, rows in rows_of.items()
        },
        "ceilings": {name: _measure_ceiling(own, rows, metric) for name, rows in rows_of.items()},
        "paired": _compare_models(rows_of, metric),
        "breakdowns": {name: measure_breakdowns(rows, metric) for name, rows in rows_of.items()},
        "worst": {
            name: [_describe_row(row, metric) for row in rows] for name, rows in worst.items()
        },
        "sixteen_bit": {
            name: cost for name, rows in rows_of.items() if (cost := _measure_clipping(rows))
        },
    }


def _describe_row(row: dict[str, Any], metric: str) -> dict[str, Any]:
    kept = ("mixture_ID", "pair", "duration_s", "level_difference_db", "overlap", "problems")
    described = {key: row[key] for key in kept if row.get(key) not in (None, "")}
    return described | {"speakers": list_speakers(row), metric: float(row[metric])}


def _measure_ceiling(
    own: ScoredSet, rows: list[dict[str, Any]], metric: str
) -> dict[str, Any] | None:
    """The best oracle's mean and the model's, over the mixtures that both have scored."""
    values = pick_values(rows, metric)
    best: dict[str, Any] | None = None
    for name in ORACLES:
        oracle = pick_values(own.rows.get(name, []), metric)
        shared = [mixture for mixture in oracle if mixture in values]
        top = sum(oracle[mixture] for mixture in shared) / max(1, len(shared))
        if top > (best["ceiling"] if best else 0.0):
            mean = sum(values[mixture] for mixture in shared) / len(shared)
            best = {"oracle": name, "ceiling": top, "mean": mean, "n": len(shared)}
    return best | {"share": best["mean"] / best["ceiling"]} if best else None


def _compare_models(rows_of: dict[str, list[dict[str, Any]]], metric: str) -> list[dict[str, Any]]:
    """Paired differences, the model of the higher mean first."""
    means = {name: fmean(pick_values(rows, metric).values()) for name, rows in rows_of.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    pairs = list(itertools.combinations(ranked, 2))
    if len(ranked) > ALL_PAIRS_UP_TO:
        pairs = [(ranked[0], name) for name in ranked[1:]]
    return [
        {"a": a, "b": b} | asdict(compare_paired(rows_of[a], rows_of[b], metric)) for a, b in pairs
    ]


def _measure_clipping(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What writing 16-bit files costs: SI-SDR before minus after; None where it was not scored."""
    before, after = pick_values(rows, "si_sdr"), pick_values(rows, "si_sdr_16bit")
    costs = {name: before[name] - value for name, value in after.items() if name in before}
    if not costs:
        return None
    worst = max(costs, key=lambda name: costs[name])
    return {
        "cost": mean_interval(list(costs.values())).as_dict(),
        "n_clipped": sum(int(row.get("n_clipped") or 0) > 0 for row in rows),
        "worst": {"mixture_ID": worst, "cost": round(costs[worst], 4)},
    }
