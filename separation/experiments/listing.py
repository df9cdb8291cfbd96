"""Experiments as rows of a table: recipe, tag, keys that differ, length, losses, test scores."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from separation.config.load import list_changes, load_conf
from separation.config.training import MACHINE_KEYS
from separation.environment import ROOT
from separation.errors import UserError
from separation.evaluation.headline import measure_headline
from separation.evaluation.intervals import MeanInterval
from separation.evaluation.score_rows import read_scores
from separation.evaluation.summary import Summary, format_interval
from separation.experiment.folder import ExperimentFolder
from separation.files import format_rows
from separation.stages.state import TRAINING_SECTIONS
from separation.text import explain_error, suggest_nearest

logger = logging.getLogger(__name__)
METRIC = "si_sdri"  # of the test sets
TEXTS, SMALLEST_FIRST = ("recipe", "tag"), ("steps", "minutes", "train_loss", "dev_loss")


@dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """One trained experiment.

    Attributes:
        recipe: ``MIX/MODEL`` or ``MIX/MODEL/VARIANT``.
        tag: the folder's name.
        changes: ``section.key=value`` where the config is not that of the recipe as it is now.
        figures: ``steps`` and ``minutes`` of the whole training; ``train_loss``, ``dev_loss`` and
            ``dev_si_sdri`` (dB) of the epoch of the lowest dev loss, whose model was kept.
        tests: SI-SDRi of the model by test set; empty before stage 5.
    """

    recipe: str
    tag: str
    changes: tuple[str, ...]
    figures: dict[str, float]
    tests: dict[str, MeanInterval]


def list_experiments(exp: Path) -> tuple[list[ExperimentRow], list[str]]:
    """Every ``MIX/MODEL/TAG`` below a folder: the trained ones, and names of the others.

    One whose files cannot be read is named in the log and left out.
    """
    rows, untrained = [], []
    for path in sorted(exp.glob("*/*/*/conf.yml")):
        folder = ExperimentFolder(path.parent)
        try:
            curves = folder.read_curves()
            if curves:
                rows.append(_read_experiment(folder, curves))
            else:
                untrained.append(str(path.parent.relative_to(exp)))
        except (UserError, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            logger.warning("%s: cannot be listed: %s", path.parent, explain_error(error))
    return rows, untrained


def _read_experiment(folder: ExperimentFolder, curves: list[dict[str, str]]) -> ExperimentRow:
    run, summary = folder.read_run(), folder.read_summary()
    mix_and_model = "/".join(folder.path.parts[-3:-1])
    recipe = run["recipe"] if run else mix_and_model
    best = min(curves, key=lambda row: float(row["dev_loss"]))
    figures = {
        "steps": int(curves[-1]["step"]),
        "minutes": round(float(curves[-1]["elapsed_s"]) / 60, 2),
    }
    losses = ("train_loss", "dev_loss", "dev_si_sdri")
    figures |= {name: float(best[name]) for name in losses if best.get(name)}
    sets = summary.list_scored("model") if summary else []
    means = {name: _read_mean(folder, summary, name) for name in sets} if summary else {}
    return ExperimentRow(
        recipe=recipe,
        tag=folder.tag,
        changes=_list_changes(recipe, folder.read_conf()),
        figures=figures,
        tests={name: mean for name, mean in means.items() if mean},
    )


def _read_mean(folder: ExperimentFolder, summary: Summary, test_set: str) -> MeanInterval | None:
    """With the interval that draws speakers where the table of mixtures is there."""
    path = folder.scores(test_set, "model")
    if path.is_file():
        return measure_headline(read_scores(path), METRIC).interval
    return summary.find_mean(test_set, "model", METRIC)


def _list_changes(recipe: str, saved: dict[str, Any]) -> tuple[str, ...]:
    """Keys whose values are not those of the recipe; of how a training runs none."""
    try:  # lengths in samples follow the sample rate
        conf = load_conf(ROOT, recipe, [f"audio.sample_rate={saved['audio']['sample_rate']}"])
    except UserError:
        return ("the recipe is not there any more",)
    base = load_conf(ROOT, recipe, [])
    changes = [change.partition(": ") for change in list_changes(saved, conf, TRAINING_SECTIONS)]
    if saved["audio"]["sample_rate"] != base.audio.sample_rate:
        changes.insert(0, ("audio.sample_rate", "", f"{saved['audio']['sample_rate']} -> "))
    free = {f"training.{name}" for name in MACHINE_KEYS}
    return tuple(
        f"{key}={values.rpartition(' -> ')[0]}" for key, _, values in changes if key not in free
    )


def _list_sets(rows: Sequence[ExperimentRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.tests))


def sort_rows(rows: Sequence[ExperimentRow], column: str) -> list[ExperimentRow]:
    """Rows by a column: scores from the best on, losses too; those without a value last.

    Raises:
        UserError: no such column.
    """
    columns = [*TEXTS, *SMALLEST_FIRST, "dev_si_sdri", *_list_sets(rows)]
    if column not in columns:
        near = suggest_nearest(column, columns)
        raise UserError(f"--sort {column}: {near}there are {', '.join(columns)}.")
    if column in TEXTS:
        return sorted(rows, key=lambda row: (getattr(row, column), row.recipe, row.tag))

    def rank(row: ExperimentRow) -> tuple[bool, float]:
        mean = row.tests[column].mean if column in row.tests else row.figures.get(column)
        if mean is None:
            return True, 0.0
        return False, mean if column in SMALLEST_FIRST else -mean

    return sorted(rows, key=rank)


def format_listing(rows: Sequence[ExperimentRow]) -> str:
    """A table as text: losses and SI-SDRi in dB, test scores with 95 % intervals."""
    sets = _list_sets(rows)
    head = ("recipe", "tag", "steps", "minutes", "train loss", "dev loss", "dev SI-SDRi")
    lines = [(*head, *(f"{name} SI-SDRi" for name in sets), "keys that differ")]
    for row in rows:
        shown = row.figures
        losses = (shown.get(name) for name in ("train_loss", "dev_loss", "dev_si_sdri"))
        lines.append(
            (
                row.recipe,
                row.tag,
                f"{shown['steps']:.0f}",
                f"{shown['minutes']:.1f}",
                *("–" if value is None else f"{value:.2f}" for value in losses),
                *(format_interval(row.tests.get(name)) for name in sets),
                " ".join(row.changes) or "–",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def format_csv(rows: Sequence[ExperimentRow]) -> str:
    """The same as CSV; of each test set the mean, and the ends of its interval."""
    sets = _list_sets(rows)
    cells = [_list_cells(row, sets) for row in rows]
    return format_rows(cells).rstrip("\n")


def _list_cells(row: ExperimentRow, sets: Sequence[str]) -> dict[str, Any]:
    cells: dict[str, Any] = {"recipe": row.recipe, "tag": row.tag}
    for name in (*SMALLEST_FIRST, "dev_si_sdri"):
        cells[name] = row.figures.get(name, "")
    for name in sets:
        mean = row.tests.get(name)
        cells[f"{name}_{METRIC}"] = mean.mean if mean else ""
        cells[f"{name}_{METRIC}_low"] = mean.low if mean else ""
        cells[f"{name}_{METRIC}_high"] = mean.high if mean else ""
        cells[f"{name}_mixtures"] = mean.n if mean else ""
    return cells | {"changes": " ".join(row.changes)}
