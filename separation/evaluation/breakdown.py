"""Where a model is bad: what a mixture is like, and scores by sex pair, level, length, overlap."""

import itertools
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from separation.errors import UserError
from separation.evaluation.intervals import MeanInterval, list_speakers, mean_interval, pick_values
from separation.files import read_rows

FRAME_S = 0.0256
ACTIVE_RANGE_DB = 40.0
PAIRS = ("same-sex", "different-sex", "unknown")
BINS = {  # kind: column, edges, factor and unit in which they are named
    "level difference": ("level_difference_db", (2.5, 5.0, 10.0), 1, "dB"),
    "length": ("duration_s", (3.0, 5.0, 10.0), 1, "s"),
    "overlap": ("overlap", (0.25, 0.5, 0.75, 0.9), 100, "%"),
}
TEXT_COLUMNS = {"mixture_ID", "pair", "audio", "permutation", "problems", "error"}
COUNT_COLUMNS = {"n_samples", "n_clipped", "n_swaps"}
DESCRIPTIONS = {"duration_s", "level_difference_db", "overlap"}


def describe_mixture(
    mixture: np.ndarray, sources: np.ndarray, sample_rate: int
) -> dict[str, float | None]:
    """What makes a mixture easy or hard, as columns of its row.

    Args:
        mixture: ``(time,)``.
        sources: ``(n_src, time)``.
        sample_rate: Hz.

    Returns:
        ``duration_s``; ``level_difference_db``, mean power of the loudest over the quietest source
        in dB, None where a source is silent or alone; ``overlap``, the share (0 to 1) of the time
        in which anybody speaks that at least two do, None where nobody does. A source speaks in a
        frame of 25.6 ms whose energy lies within 40 dB of its loudest frame's: the rule by which
        STOI drops silence (Taal et al. 2011, section II-A), without its frames' overlap.
    """
    powers = (np.asarray(sources, np.float64) ** 2).mean(axis=-1)
    difference = None
    if len(powers) > 1 and np.isfinite(powers).all() and powers.min() > 0:
        difference = round(float(10 * np.log10(powers.max() / powers.min())), 4)
    speaking = _find_active(np.asarray(sources, np.float64), sample_rate).sum(axis=0)
    anybody = int((speaking > 0).sum())
    return {
        "duration_s": round(len(mixture) / sample_rate, 6),
        "level_difference_db": difference,
        "overlap": round(int((speaking > 1).sum()) / anybody, 4) if anybody else None,
    }


def _find_active(sources: np.ndarray, sample_rate: int) -> np.ndarray:
    """``(n_src, frame)``: whether a source speaks."""
    size = max(1, round(FRAME_S * sample_rate))
    shortage = -sources.shape[-1] % size
    padded = np.pad(np.nan_to_num(sources), ((0, 0), (0, shortage)))
    energies = (padded.reshape(len(sources), -1, size) ** 2).sum(axis=-1)
    loudest = energies.max(axis=-1, keepdims=True, initial=0.0)
    return (energies > 0) & (energies >= loudest * 10 ** (-ACTIVE_RANGE_DB / 10))


def read_scores(path: Path) -> list[dict[str, Any]]:
    """Read a scores CSV with its columns typed; an empty cell of a number is absent.

    Raises:
        UserError: a cell that should hold a number does not, or holds NaN or infinity.
    """
    rows = []
    for text_row in read_rows(path):
        row: dict[str, Any] = {}
        for column, cell in text_row.items():
            if column in TEXT_COLUMNS or column.startswith("speaker_"):
                row[column] = cell or ""
            elif cell:
                row[column] = _read_number(cell, column, text_row, path)
        rows.append(row)
    return rows


def _read_number(cell: str, column: str, row: dict[str, str], path: Path) -> float | int:
    try:
        number = int(cell) if column in COUNT_COLUMNS else float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(
            f"{path}: mixture {row.get('mixture_ID')}: {column} is {cell!r} where a finite number "
            "is needed; remove the file and score the set again."
        )
    return number


def list_metrics(rows: list[dict[str, Any]]) -> list[str]:
    """Columns that are scores of a whole mixture, in their order: those worth a mean."""
    columns = dict.fromkeys(column for row in rows for column in row)
    others = TEXT_COLUMNS | COUNT_COLUMNS | DESCRIPTIONS
    return [
        column
        for column in columns
        if column not in others
        and not column.startswith("speaker_")
        and not column.rsplit("_", 1)[-1].isdigit()  # of one source
    ]


def list_problems(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """``{problem: [mixture_IDs]}`` of the rows that name any."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for name in (row.get("problems") or "").split():
            found[name].append(row["mixture_ID"])
    return dict(sorted(found.items()))


def break_down(rows: list[dict[str, Any]], metric: str) -> dict[str, dict[str, MeanInterval]]:
    """Means of a metric by what a mixture is like.

    Args:
        rows: of a scores table; those without the metric are left out.

    Returns:
        ``{"sex pair", "level difference", "length", "overlap", "speaker": {group: mean}}``; groups
        without mixtures are left out, those of numbers come in order. A speaker's mean is over
        the mixtures that the speaker is in, the lowest first.

    Raises:
        ValueError: a value is not finite.
    """
    values = pick_values(rows, metric)
    scored = [row for row in rows if row["mixture_ID"] in values]
    kinds = {"sex pair": _group_pairs(scored, values)}
    kinds |= {kind: _group_bins(scored, values, kind) for kind in BINS}
    kinds["speaker"] = _group_speakers(scored, values)
    means = {
        kind: {name: mean_interval(own) for name, own in groups.items()}
        for kind, groups in kinds.items()
    }
    ranked = sorted(means["speaker"].items(), key=lambda pair: (pair[1].mean, pair[0]))
    return means | {"speaker": dict(ranked)}


def list_groups() -> dict[str, list[str]]:
    """The groups of every kind but the speakers, in order."""
    return {"sex pair": list(PAIRS)} | {kind: _name_bins(kind) for kind in BINS}


def _name_bins(kind: str) -> list[str]:
    _, edges, factor, unit = BINS[kind]
    shown = [f"{edge * factor:g}" for edge in edges]
    between = [f"{low} to {high} {unit}" for low, high in itertools.pairwise(shown)]
    return [f"below {shown[0]} {unit}", *between, f"{shown[-1]} {unit} or more"]


def _group_pairs(rows: list[dict[str, Any]], values: dict[str, float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {name: [] for name in PAIRS}
    for row in rows:
        pair = row.get("pair")
        groups[pair if pair in groups else "unknown"].append(values[row["mixture_ID"]])
    return {name: own for name, own in groups.items() if own}


def _group_bins(
    rows: list[dict[str, Any]], values: dict[str, float], kind: str
) -> dict[str, list[float]]:
    """A bin holds its lower edge and not its upper one; rows without the column are in none."""
    column, edges, _, _ = BINS[kind]
    names = _name_bins(kind)
    groups: dict[str, list[float]] = {name: [] for name in names}
    for row in rows:
        value = row.get(column)
        if value is not None and value != "":
            place = int(np.searchsorted(edges, float(value), side="right"))
            groups[names[place]].append(values[row["mixture_ID"]])
    return {name: own for name, own in groups.items() if own}


def _group_speakers(rows: list[dict[str, Any]], values: dict[str, float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name in sorted(set(list_speakers(row))):
            groups[name].append(values[row["mixture_ID"]])
    return dict(groups)


def correlate(rows: list[dict[str, Any]], metric: str, other: str) -> float | None:
    """Spearman's rank correlation of two columns over the rows that hold both.

    None below three rows, or where a column does not vary.
    """
    from scipy.stats import rankdata

    first, second = pick_values(rows, metric), pick_values(rows, other)
    shared = [name for name in first if name in second]
    if len(shared) < 3:
        return None
    ranks = [rankdata([values[name] for name in shared]) for values in (first, second)]
    if any(np.ptp(own) == 0 for own in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def rank_worst(rows: list[dict[str, Any]], metric: str, n_worst: int) -> list[dict[str, Any]]:
    """The rows of the lowest values, the lowest first; rows without a value are no candidates."""
    values = pick_values(rows, metric)
    scored = [row for row in rows if row["mixture_ID"] in values]
    return sorted(scored, key=lambda row: (values[row["mixture_ID"]], row["mixture_ID"]))[:n_worst]
