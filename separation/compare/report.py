"""The report of a comparison: comparison.md, comparison.json and one comparison.html."""

import logging
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from separation.compare.comparison import Comparison, ScoredSet
from separation.compare.summary import sum_up
from separation.compare.text import name_metric, unit_of, write_blocks
from separation.files import write_json, write_text
from separation.mixtures.signals import Mixture
from separation.reports.page import blocks_to_html, format_blocks, format_page, show_signals

logger = logging.getLogger(__name__)
Render = Callable[[str, str, str], tuple[Mixture, np.ndarray]]
PLAYER_S = 15.0  # a page with an hour of audio in it would not open


def write_comparison(
    folder: Path, comparison: Comparison, render: Render, n_worst: int = 3
) -> list[Path]:
    """Write ``comparison.md``, ``comparison.json`` and ``comparison.html`` into a folder.

    Args:
        comparison: every set with its rows.
        render: (name of set, estimator, mixture_ID) -> the mixture and the estimator's outputs
            ``(n_src, time)`` in the model's own order, both at the rate of that row's
            ``n_samples``; called for the players only.
        n_worst: mixtures shown of every model and set.

    Returns:
        the three paths.

    Raises:
        ValueError: a value is not finite.
    """
    summed = sum_up(comparison, n_worst)
    blocks = write_blocks(summed)
    paths = [folder / f"comparison.{suffix}" for suffix in ("md", "json", "html")]
    write_text(paths[0], format_blocks(blocks))
    write_json(paths[1], summed)
    body = blocks_to_html(blocks) + _show_players(comparison, summed, render)
    write_text(paths[2], format_page("Comparison of models", body))
    return paths


def _show_players(comparison: Comparison, summed: dict[str, Any], render: Render) -> str:
    parts = []
    for own, figures in zip(comparison.sets, summed["sets"], strict=True):
        for model, worst in figures["worst"].items():
            title = f"{own.name}, {model}: the worst, to see and hear"
            parts += [f"<h2>{escape(title)}</h2>"] if worst else []
            for row in worst:
                value = f"{name_metric(summed['metric'])} {row[summed['metric']]:.2f}"
                head = f"{row['mixture_ID']}: {value}{unit_of(summed['metric'])}"
                parts.append(f"<h3>{escape(head)}</h3>")
                parts.append(_show_one(own, model, row["mixture_ID"], render))
    return "\n".join(parts)


def _show_one(own: ScoredSet, model: str, mixture_id: str, render: Render) -> str:
    """Players of one mixture; a sentence where it cannot be read or separated any more."""
    from separation.models.inference import match_level

    row = next(row for row in own.rows[model] if row["mixture_ID"] == mixture_id)
    try:
        mixture, estimates = render(own.name, model, mixture_id)
        order = [int(index) for index in row["permutation"].split()]
        leveled = match_level(mixture.mixture, estimates[order])
        return show_signals(mixture, leveled, find_rate(row, own.sample_rate), PLAYER_S)
    except Exception as error:  # hours of scores must not be lost for a player
        told = str(error) or type(error).__name__
        logger.warning("%s, %s, %s: no player: %s", own.name, model, mixture_id, told)
        return f"<p>{escape(told)}</p>"


def find_rate(row: dict[str, Any], sample_rate: int) -> int:
    """The rate in Hz at which a row was scored; a table is rendered at its model's rate.

    >>> find_rate({"n_samples": 16000, "duration_s": 1.0}, 8000)
    16000
    """
    if row.get("n_samples") and row.get("duration_s"):
        return round(row["n_samples"] / row["duration_s"])
    return sample_rate
