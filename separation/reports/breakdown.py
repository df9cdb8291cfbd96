"""Break-downs of several models or test sets side by side, as blocks of a report."""

from collections.abc import Mapping

from separation.evaluation.breakdown import Breakdown, list_groups
from separation.evaluation.intervals import MeanInterval
from separation.evaluation.summary import format_interval
from separation.reports.page import Block, Part, Table

N_SPEAKERS = 5  # of the lowest means
OFTEN = 3  # mixtures, for a speaker to be called bad
FEW = 10  # below it an interval is too narrow to be shown: see separation.evaluation.intervals


def show_breakdowns(breakdowns: Mapping[str, Breakdown]) -> list[Part]:
    """A table of groups with a column a name, the speakers with the lowest means, correlations."""
    rows = [
        [kind, group, *(_format_group(own.groups[kind].get(group)) for own in breakdowns.values())]
        for kind, names in list_groups().items()
        for group in names
        if any(group in own.groups[kind] for own in breakdowns.values())
    ]
    sentences = [_describe_speakers(name, own) for name, own in breakdowns.items()]
    sentences += [_describe_correlation(name, own) for name, own in breakdowns.items()]
    sentences = [sentence for sentence in sentences if sentence]
    parts: list[Part] = []
    if rows:
        parts.append(Table(["by", "group", *breakdowns], rows))
    if sentences:
        parts.append(Block("list", sentences))
    return parts


def _format_group(mean: MeanInterval | None) -> str:
    """``5.65 [5.39, 5.92] of 30``, without the interval where mixtures are few."""
    if mean is None:
        return "–"
    text = f"{mean.mean:.2f}" if mean.n < FEW else format_interval(mean)
    return f"{text} of {mean.n}"


def _describe_speakers(name: str, breakdown: Breakdown) -> str:
    speakers = breakdown.groups["speaker"]
    if len(speakers) < 2:
        return ""
    often = {speaker: own for speaker, own in speakers.items() if own.n >= OFTEN} or speakers
    shown = [
        f"{speaker} {own.mean:.2f} (of {own.n})"
        for speaker, own in list(often.items())[:N_SPEAKERS]
    ]
    rule = f" in {OFTEN} mixtures or more" if len(often) < len(speakers) else ""
    return (
        f"{name}: lowest of {len(often)} speakers{rule}, mean over the mixtures that each is in: "
        f"{', '.join(shown)}."
    )


def _describe_correlation(name: str, breakdown: Breakdown) -> str:
    correlation = breakdown.input_correlation
    if correlation is None:
        return ""
    return f"{name}: rank correlation of the improvement with the input's score {correlation:.2f}."
