"""Summaries of scores: means with intervals by test set and estimator, ``summary.json``, tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.evaluation.breakdown import PAIRS, list_metrics, list_problems
from separation.evaluation.headline import Headline
from separation.evaluation.intervals import MeanInterval, mean_interval, pick_values
from separation.evaluation.score_rows import ScoreRow
from separation.files import read_json, write_json
from separation.text import format_table, list_first

Headlines = Mapping[tuple[str, str], Mapping[str, Headline]]  # by set and estimator, then metric
SHOWN_METRICS = ("si_sdri", "sdri")
N_NAMED = 5  # mixtures of one problem in a sentence or cell


@dataclass(frozen=True, kw_only=True)
class GroupSummary:
    """Scores of a group of mixtures: all of them, or those of one kind of pair.

    Attributes:
        n_mixtures: scored or not.
        n_scored: with values; the others are in no mean.
        problems: mixture IDs by problem.
        means: by metric, to four decimals; a metric that no mixture has is absent.
    """

    n_mixtures: int
    n_scored: int
    problems: Mapping[str, list[str]]
    means: Mapping[str, MeanInterval]

    def as_dict(self) -> dict[str, Any]:
        """As ``summary.json`` holds it: metrics beside the counts."""
        counts = {"n_mixtures": self.n_mixtures, "n_scored": self.n_scored}
        means = {metric: interval.as_dict() for metric, interval in self.means.items()}
        return counts | {"problems": dict(self.problems)} | means

    def format_count(self) -> str:
        """``300``, or ``298 of 300`` where some mixtures have no values."""
        all_scored = self.n_scored == self.n_mixtures
        return str(self.n_mixtures) if all_scored else f"{self.n_scored} of {self.n_mixtures}"


Groups = Mapping[str, GroupSummary]  # ``all``, then the kinds of pairs


@dataclass(frozen=True)
class Summary:
    """Scores of an experiment.

    Attributes:
        about: what they were made with: checkpoint, fingerprints of tables and audio.
        scores: by test set and estimator.
    """

    about: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Groups]]

    def find_mean(self, test_set: str, estimator: str, metric: str) -> MeanInterval | None:
        """A mean over all mixtures of a set; None where there is none."""
        groups = self.scores.get(test_set, {}).get(estimator)
        return groups["all"].means.get(metric) if groups else None

    def list_scored(self, estimator: str) -> list[str]:
        """The test sets that an estimator was scored on."""
        return [name for name, estimators in self.scores.items() if estimator in estimators]


def summarise(rows: Sequence[ScoreRow]) -> dict[str, GroupSummary]:
    """Means with 95 % bootstrap intervals, over all mixtures and per kind of pair.

    Raises:
        ValueError: a value is not finite.
    """
    groups = {"all": list(rows)}
    for pair in PAIRS:
        groups[pair] = [row for row in rows if row.pair == pair]
    metrics = list_metrics(rows)
    return {name: _summarise_group(group, metrics) for name, group in groups.items() if group}


def _summarise_group(rows: list[ScoreRow], metrics: list[str]) -> GroupSummary:
    values = {metric: pick_values(rows, metric) for metric in metrics}
    return GroupSummary(
        n_mixtures=len(rows),
        n_scored=len({mixture_id for by_mixture in values.values() for mixture_id in by_mixture}),
        problems=list_problems(rows),
        means={
            metric: mean_interval(list(by_mixture.values())).rounded()
            for metric, by_mixture in values.items()
            if by_mixture
        },
    )


def write_summary(path: Path, summary: Summary) -> None:
    """Write ``summary.json``: ``{"about": ..., "scores": {set: {estimator: {group: ...}}}}``."""
    scores = {
        test_set: {
            name: {group: own.as_dict() for group, own in groups.items()}
            for name, groups in estimators.items()
        }
        for test_set, estimators in summary.scores.items()
    }
    write_json(path, {"about": dict(summary.about), "scores": scores})


def read_summary(path: Path) -> Summary | None:
    """Read ``summary.json``; None where nothing was scored."""
    record = read_json(path)
    if record is None:
        return None
    scores = {
        test_set: {
            name: {group: _parse_group(own) for group, own in groups.items()}
            for name, groups in estimators.items()
        }
        for test_set, estimators in record["scores"].items()
    }
    return Summary(record["about"], scores)


def _parse_group(record: dict[str, Any]) -> GroupSummary:
    return GroupSummary(
        n_mixtures=record["n_mixtures"],
        # older summaries hold mixtures with values only, and no problems
        n_scored=record.get("n_scored", record["n_mixtures"]),
        problems=record.get("problems", {}),
        means={
            metric: MeanInterval(value["n"], value["mean"], value["low"], value["high"])
            for metric, value in record.items()
            if metric not in ("n_mixtures", "n_scored", "problems")
        },
    )


SCORES_HEAD = (
    "test set",
    "estimator",
    "SI-SDRi [95 %]",
    "SDRi [95 %]",
    "same-sex SI-SDRi",
    "different-sex SI-SDRi",
    "mixtures",
)


def list_score_cells(summary: Summary, headlines: Headlines | None = None) -> list[list[str]]:
    """Rows of the score table below :data:`SCORES_HEAD`: test sets x estimators, in dB.

    The model comes first of each set.

    Args:
        headlines: means with the intervals that are reported; without them, intervals draw
            mixtures.
    """
    return [
        [
            test_set,
            name,
            *_list_cells(estimators[name], (headlines or {}).get((test_set, name), {})),
        ]
        for test_set, estimators in summary.scores.items()
        for name in sorted(estimators, key=lambda name: name != "model")
    ]


def _list_cells(groups: Groups, headlines: Mapping[str, Headline]) -> list[str]:
    whole = groups["all"]
    reported = {metric: headline.interval for metric, headline in headlines.items()}
    means = {**whole.means, **reported}
    cells = [format_interval(means.get(metric)) for metric in SHOWN_METRICS]
    for pair in ("same-sex", "different-sex"):
        mean = groups[pair].means.get("si_sdri") if pair in groups else None
        cells.append("–" if mean is None else f"{mean.mean:.2f}")
    return [*cells, whole.format_count()]


def format_scores(summary: Summary, headlines: Headlines | None = None) -> str:
    """The score table as Markdown, see :func:`list_score_cells`."""
    return format_table(SCORES_HEAD, list_score_cells(summary, headlines))


def format_interval(value: MeanInterval | None, decimals: int = 2) -> str:
    """``5.65 [5.39, 5.92]``; a dash where there is no value, no bracket where no interval."""
    if value is None or value.mean is None:
        return "–"
    text = f"{value.mean:.{decimals}f}"
    if value.low is None or value.high is None:
        return f"{text} (no interval)"
    return f"{text} [{value.low:.{decimals}f}, {value.high:.{decimals}f}]"


def describe_problems(summary: Summary) -> list[str]:
    """One sentence a problem of every set and estimator: how many mixtures, and which."""
    return [
        f"{test_set}, {name}: {problem} in {len(ids)} mixture(s): {list_first(ids, N_NAMED)}."
        for test_set, estimators in summary.scores.items()
        for name, groups in estimators.items()
        for problem, ids in groups["all"].problems.items()
    ]
