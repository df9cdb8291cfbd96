"""Summaries: means with intervals over per-mixture rows, and the table people read."""

from pathlib import Path
from typing import Any

from separation.evaluation.breakdown import PAIRS, list_metrics, list_problems
from separation.evaluation.intervals import mean_interval, pick_values
from separation.files import write_json


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals, over all mixtures and per kind of pair.

    Returns:
        ``{group: {"n_mixtures", "n_scored", "problems": {name: [mixture_IDs]}, <metric>: {"mean",
        "low", "high", "n"}}}``. A row without values is in no mean, and counted and named here; a
        metric that no row of a group holds is absent; ``low`` and ``high`` of one value are None.

    Raises:
        ValueError: a value is not finite.
    """
    groups = {"all": rows}
    for pair in PAIRS:
        groups[pair] = [row for row in rows if row.get("pair", "unknown") == pair]
    metrics = list_metrics(rows)
    return {name: _sum_up(group, metrics) for name, group in groups.items() if group}


def _sum_up(rows: list[dict[str, Any]], metrics: list[str]) -> dict[str, Any]:
    values = {metric: pick_values(rows, metric) for metric in metrics}
    return {
        "n_mixtures": len(rows),
        "n_scored": len({name for own in values.values() for name in own}),
        "problems": list_problems(rows),
    } | {
        metric: mean_interval(list(own.values())).as_dict() for metric, own in values.items() if own
    }


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
            lines.append("| " + " | ".join([*cells, format_count(whole)]) + " |")
    return "\n".join(lines)


def format_count(group: dict[str, Any]) -> str:
    """``300``, or ``298 of 300`` where some mixtures have no values."""
    n_scored, n_mixtures = group.get("n_scored", group["n_mixtures"]), group["n_mixtures"]
    return str(n_mixtures) if n_scored == n_mixtures else f"{n_scored} of {n_mixtures}"


def format_interval(value: dict[str, Any] | None, decimals: int = 2) -> str:
    """``5.65 [5.39, 5.92]``; a dash where there is no value, no bracket where no interval."""
    if value is None or value["mean"] is None:
        return "–"
    text = f"{value['mean']:.{decimals}f}"
    if value["low"] is None or value["high"] is None:
        return f"{text} (no interval)"
    return f"{text} [{value['low']:.{decimals}f}, {value['high']:.{decimals}f}]"


def tell_problems(summary: dict[str, Any]) -> list[str]:
    """One sentence a problem of every set and estimator: how many mixtures, and which."""
    return [
        f"{test_set}, {name}: {problem} in {len(ids)} mixture(s): {list_first(ids)}."
        for test_set, estimators in summary["scores"].items()
        for name, groups in estimators.items()
        for problem, ids in groups["all"].get("problems", {}).items()
    ]


def list_first(names: list[str], n_listed: int = 5) -> str:
    """The first names, joined, and how many more there are."""
    more = f" and {len(names) - n_listed} more" if len(names) > n_listed else ""
    return ", ".join(names[:n_listed]) + more


def _cell(group: dict[str, Any] | None, metric: str, with_interval: bool) -> str:
    value = group.get(metric) if group else None
    if with_interval or value is None:
        return format_interval(value)
    return f"{value['mean']:.2f}"
