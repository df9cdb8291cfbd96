"""Summaries: means with intervals over per-mixture rows, and the table people read."""

from pathlib import Path
from typing import Any

import numpy as np

from separation.files import write_json

SUMMARY_METRICS = ("si_sdri", "sdri", "si_sdr", "sdr", "input_si_sdr", "input_sdr")
BOOTSTRAP_DRAWS = 1000


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals, over all mixtures and per kind of pair."""
    groups = {"all": rows}
    for pair in ("same-sex", "different-sex", "unknown"):
        groups[pair] = [row for row in rows if row["pair"] == pair]
    return {
        name: {"n_mixtures": len(group)}
        | {metric: _mean_interval([row[metric] for row in group]) for metric in SUMMARY_METRICS}
        for name, group in groups.items()
        if group
    }


def _mean_interval(values: list[float]) -> dict[str, float]:
    """Mean and percentile bootstrap interval (Efron 1979); the draws are seeded."""
    numbers = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(numbers), size=(BOOTSTRAP_DRAWS, len(numbers)))
    low, high = np.percentile(numbers[draws].mean(axis=1), [2.5, 97.5])
    mean = float(numbers.mean())
    return {"mean": round(mean, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def write_summary(path: Path, results: dict[str, dict[str, list]], about: dict[str, Any]) -> None:
    """Write ``summary.json``: ``{"about": ..., "scores": {set: {estimator: {group: ...}}}}``."""
    scores = {
        test_set: {name: summarise(rows) for name, rows in estimators.items()}
        for test_set, estimators in results.items()
    }
    write_json(path, {"about": about, "scores": scores})


def format_scores(summary: dict[str, Any]) -> str:
    """The score table as Markdown: test sets x estimators, SI-SDRi and SDRi in dB."""
    lines = [
        "| test set | estimator | SI-SDRi [95 %] | SDRi [95 %] | same-sex SI-SDRi "
        "| different-sex SI-SDRi | mixtures |",
        "|---|---|---|---|---|---|---|",
    ]
    for test_set, estimators in summary["scores"].items():
        for name, groups in estimators.items():
            whole = groups["all"]
            cells = [test_set, name, _cell(whole, "si_sdri", True), _cell(whole, "sdri", True)]
            cells += [_cell(groups.get(p), "si_sdri", False) for p in ("same-sex", "different-sex")]
            lines.append("| " + " | ".join([*cells, str(whole["n_mixtures"])]) + " |")
    return "\n".join(lines)


def _cell(group: dict[str, Any] | None, metric: str, with_interval: bool) -> str:
    if group is None:
        return "–"
    value = group[metric]
    text = f"{value['mean']:.2f}"
    return f"{text} [{value['low']:.2f}, {value['high']:.2f}]" if with_interval else text
