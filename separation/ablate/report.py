"""A ladder's table in Markdown and its waterfall plot, made from the results alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from separation.ablate.ladder import Ladder
from separation.ablate.result import read_results
from separation.ablate.steps import RungFigures, measure_rungs
from separation.errors import MissingInputError
from separation.evaluation.summary import format_interval
from separation.files import write_text
from separation.text import format_table

TABLE, PLOT = "table.md", "waterfall.png"
NOTE = (
    "SI-SDRi in dB, mean over seeds, with the 95 % interval that draws speakers; *gain* is over "
    "the rung that is changed, on the same mixtures. Of training and dev the SI-SDR."
)


def write_report(ladder: Ladder, folder: Path) -> str:
    """Write ``table.md`` and ``waterfall.png`` into the folder of the results; returns the table.

    Raises:
        MissingInputError: there are no results of this ladder.
        UserError: a file there is no result.
    """
    rungs = measure_rungs(ladder, read_results(folder))
    if not rungs:
        raise MissingInputError(f"{folder}: holds no result of the ladder {ladder.name}.")
    table = format_rungs(rungs)
    write_text(folder / TABLE, f"{table}\n\n{NOTE}\n\n{format_origin(rungs)}\n")
    draw_waterfall(rungs, folder / PLOT)
    return f"{table}\n\n{folder / TABLE}\n{folder / PLOT}"


def format_rungs(rungs: Sequence[RungFigures]) -> str:
    """The scores and what they were trained on, a row a rung."""
    names = list(rungs[0].sets)
    head = ["rung", "change", names[0], f"gain, {names[0]}", *names[1:], "dev", "training"]
    head += ["hours", "different mixtures", "utterances", "speakers", "minutes", "steps", "seeds"]
    return format_table(head, [_list_cells(rung, names) for rung in rungs])


def _list_cells(rung: RungFigures, names: Sequence[str]) -> list[str]:
    first, figures = rung.first, rung.sets
    scores = [format_interval(figures[name].score) for name in names]
    cells = [first.rung, first.label, scores[0], format_interval(figures[names[0]].gain)]
    cells += [*scores[1:], _format_mean([own.dev_si_sdr for own in rung.results])]
    cells += [_format_mean([own.train_si_sdr for own in rung.results]), f"{first.hours:.1f}"]
    cells += [f"{first.distinct_mixtures:,}", f"{first.utterances:,}", f"{first.speakers:,}"]
    cells += [_format_mean([own.minutes for own in rung.results], 1), f"{first.steps:,}"]
    return [*cells, " ".join(f"{score:.2f}" for score in figures[names[0]].seeds)]


def _format_mean(values: Sequence[float], decimals: int = 2) -> str:
    return f"{sum(values) / len(values):.{decimals}f}"


def format_origin(rungs: Sequence[RungFigures]) -> str:
    """What produced the results: devices, commits, the sizes of the test sets."""
    results = [own for rung in rungs for own in rung.results]
    devices = ", ".join(sorted({own.device for own in results}))
    commits = ", ".join(sorted({own.commit for own in results}))
    torch = ", ".join(sorted({own.versions.get("torch", "") for own in results}))
    sizes = [
        f"{name} {len(scores.values)} mixtures of {len(set(sum(scores.speakers, ())))} speakers"
        for name, scores in results[0].tests.items()
    ]
    return f"{devices}; torch {torch}; commit {commits}. Test sets: {'; '.join(sizes)}."


def draw_waterfall(rungs: Sequence[RungFigures], path: Path) -> None:
    """A bar a rung, from the score of the rung that it changes to its own, on the first test set.

    Intervals draw speakers; marks show the other test sets.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    name, *others = rungs[0].sets
    figure, axis = plt.subplots(figsize=(2.5 + 1.2 * len(rungs), 4.8), layout="constrained")
    for place, rung in enumerate(rungs):
        _draw_bar(axis, place, rung, name)
    for marker, other in zip("Dosv^x" * len(others), others, strict=False):
        points = [(place, rung.sets[other].score.mean) for place, rung in enumerate(rungs)]
        axis.plot(*zip(*points, strict=True), marker, ms=5, alpha=0.8, label=other)
    labels = [f"{rung.first.rung}: {_wrap(rung.first.label)}" for rung in rungs]
    axis.set_xticks(range(len(rungs)), labels, fontsize=8, parse_math=False)  # a $ is a $
    axis.set_ylabel(f"SI-SDRi (dB), bars: {name}")
    axis.axhline(0, color="black", lw=0.8)
    axis.grid(axis="y", alpha=0.3)
    if others:
        axis.legend(fontsize=8)
    figure.savefig(path, format="png", dpi=110)
    plt.close(figure)


def _draw_bar(axis: Any, place: int, rung: RungFigures, name: str) -> None:
    score, gain = rung.sets[name].score, rung.sets[name].gain
    assert score.mean is not None
    rise = gain.mean if gain and gain.mean is not None else score.mean
    color = "tab:gray" if gain is None else ("tab:green" if rise >= 0 else "tab:red")
    axis.bar(place, rise, bottom=score.mean - rise, color=color, alpha=0.8)
    top = score.mean
    if score.low is not None and score.high is not None:
        spread = [[score.mean - score.low], [score.high - score.mean]]
        axis.errorbar(place, score.mean, spread, color="black", capsize=4)
        top = score.high
    axis.annotate(f"{rise:+.2f}", (place, top), ha="center", va="bottom", fontsize=9)


def _wrap(text: str, width: int = 16) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))
