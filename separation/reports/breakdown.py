"""Break-downs of several models or test sets side by side, as blocks of a report."""

from typing import Any

from separation.evaluation.breakdown import break_down, correlate, list_groups
from separation.evaluation.summary import format_interval
from separation.reports.page import Block, make_table

OFTEN = 3  # mixtures, for a speaker to be called bad
FEW = 10  # below it an interval is too narrow to be shown: see separation.evaluation.intervals
Broken = dict[str, dict[str, dict[str, Any]]]


def measure_breakdowns(rows: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Scores broken down, as JSON holds them, and their correlation with the input's.

    Returns:
        ``{"groups": {kind: {group: {"mean", "low", "high", "n"}}}, "input_correlation"}``.
    """
    broken = break_down(rows, metric)
    groups = {kind: {k: v.as_dict() for k, v in own.items()} for kind, own in broken.items()}
    correlation = correlate(rows, metric, f"input_{metric.removesuffix('i')}")
    rounded = None if correlation is None else round(correlation, 3)
    return {"groups": groups, "input_correlation": rounded}


def show_breakdowns(measured: dict[str, Any], n_speakers: int = 5) -> list[Block]:
    """A table of groups with a column a name, the speakers with the lowest means, correlations.

    Args:
        measured: by name what :func:`measure_breakdowns` gives.
    """
    groups = {name: own["groups"] for name, own in measured.items()}
    rows = [
        [kind, group, *(_format_group(own[kind].get(group)) for own in groups.values())]
        for kind, names in list_groups().items()
        for group in names
        if any(group in own[kind] for own in groups.values())
    ]
    blocks = [make_table(["by", "group", *groups], rows)] if rows else []
    sentences = [_tell_speakers(name, own, n_speakers) for name, own in groups.items()]
    sentences += [_tell_correlation(name, own) for name, own in measured.items()]
    told = [sentence for sentence in sentences if sentence]
    return [*blocks, Block("list", told)] if told else blocks


def _format_group(value: dict[str, Any] | None) -> str:
    """``5.65 [5.39, 5.92] of 30``, without the interval where mixtures are few."""
    if value is None:
        return "–"
    text = f"{value['mean']:.2f}" if value["n"] < FEW else format_interval(value)
    return f"{text} of {value['n']}"


def _tell_speakers(name: str, groups: Broken, n_speakers: int) -> str:
    speakers = groups["speaker"]
    if len(speakers) < 2:
        return ""
    often = {name: own for name, own in speakers.items() if own["n"] >= OFTEN} or speakers
    shown = [
        f"{speaker} {value['mean']:.2f} (of {value['n']})"
        for speaker, value in list(often.items())[:n_speakers]
    ]
    rule = f" in {OFTEN} mixtures or more" if len(often) < len(speakers) else ""
    return (
        f"{name}: lowest of {len(often)} speakers{rule}, mean over the mixtures that each is in: "
        f"{', '.join(shown)}."
    )


def _tell_correlation(name: str, own: dict[str, Any]) -> str:
    correlation = own["input_correlation"]
    if correlation is None:
        return ""
    return f"{name}: rank correlation of the improvement with the input's score {correlation:.2f}."
