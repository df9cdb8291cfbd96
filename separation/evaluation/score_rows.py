"""Score rows: one mixture's scores by one estimator, a row of CSV and a line of a journal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from separation.errors import UserError
from separation.files import format_rows, hash_text, read_rows
from separation.metrics.names import UNSCORABLE
from separation.text import list_first

N_NAMED = 10  # mixtures without scores in one sentence
Cell = str | int | float  # of a row of a CSV table or a journal
TEXTS = ("mixture_ID", "pair", "audio", "permutation", "problems", "error")
COUNTS = ("n_samples", "n_swaps", "n_clipped")


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """Scores of one mixture, what the mixture is like, and what is wrong with it.

    Attributes:
        mixture_id: of the mixture table.
        pair: ``same-sex``, ``different-sex`` or ``unknown``.
        speakers: one for each source, empty where it is unknown.
        n_samples: None where the mixture could not be read.
        duration_s, level_difference_db, overlap: as
            :func:`separation.evaluation.breakdown.describe_mixture` has them.
        audio: fingerprint of the samples that were scored.
        permutation: estimate index of each reference; empty where nothing could be scored.
        problems: names out of :data:`separation.metrics.problems.PROBLEMS`.
        error: what went wrong, in words.
        n_swaps: how often the outputs change places.
        n_clipped: samples beyond what 16 bits hold; None where that was not asked for.
        values: scores by column, such as ``si_sdri`` and ``si_sdri_1``; empty without scores.
    """

    mixture_id: str
    pair: str = "unknown"
    speakers: tuple[str, ...] = ()
    n_samples: int | None = None
    duration_s: float | None = None
    level_difference_db: float | None = None
    overlap: float | None = None
    audio: str = ""
    permutation: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    error: str = ""
    n_swaps: int = 0
    n_clipped: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_scored(self) -> bool:
        """Whether there are scores of the mixture; else ``problems`` and ``error`` say why not."""
        return "si_sdr" in self.values or "sdr" in self.values

    @property
    def known_speakers(self) -> tuple[str, ...]:
        """The speakers of all sources; empty where one is unknown."""
        return self.speakers if all(self.speakers) else ()

    def as_cells(self) -> dict[str, Cell]:
        """The columns that the row fills, in the order of the CSV tables."""
        cells: dict[str, Cell | None] = {"mixture_ID": self.mixture_id, "pair": self.pair}
        cells |= {f"speaker_{k}_ID": name for k, name in enumerate(self.speakers, 1)}
        cells["n_samples"] = self.n_samples
        cells["duration_s"] = self.duration_s
        cells["level_difference_db"] = self.level_difference_db
        cells["overlap"] = self.overlap
        cells["audio"] = self.audio or None
        cells["permutation"] = None if self.error else " ".join(map(str, self.permutation))
        cells["problems"] = " ".join(self.problems)
        cells["error"] = self.error or None
        cells["n_swaps"] = self.n_swaps or None
        cells |= self.values
        cells["n_clipped"] = self.n_clipped
        return {column: cell for column, cell in cells.items() if cell is not None}


def parse_score_row(cells: Mapping[str, Cell | None]) -> ScoreRow:
    """A row of a CSV table, all text, or of a journal, as :meth:`ScoreRow.as_cells` gave it.

    Raises:
        ValueError: a cell that should hold a number does not, or holds NaN or infinity.

    >>> parse_score_row({"mixture_ID": "m1", "pair": "same-sex", "si_sdri": "9.5"}).values
    {'si_sdri': 9.5}
    """
    rest = {column: cell for column, cell in cells.items() if cell is not None and cell != ""}
    speakers = [column for column in cells if column.startswith("speaker_")]
    texts = {column: str(rest.pop(column, "")) for column in [*TEXTS, *speakers]}
    numbers = {column: _read_number(cell, column) for column, cell in rest.items()}
    counts = {column: int(numbers.pop(column)) for column in COUNTS if column in numbers}
    problems = tuple(texts["problems"].split())
    return ScoreRow(
        mixture_id=texts["mixture_ID"],
        pair=texts["pair"] or "unknown",
        speakers=tuple(texts[column] for column in speakers),
        audio=texts["audio"],
        permutation=tuple(map(int, texts["permutation"].split())),
        problems=problems,
        error=texts["error"],
        n_samples=counts.get("n_samples"),
        n_swaps=counts.get("n_swaps", 0),
        n_clipped=counts.get("n_clipped"),
        duration_s=numbers.pop("duration_s", None),
        level_difference_db=numbers.pop("level_difference_db", None),
        overlap=numbers.pop("overlap", None),
        values={} if UNSCORABLE & set(problems) else numbers,  # earlier versions wrote some
    )


def _read_number(cell: Cell, column: str) -> float:
    try:
        number = float(int(cell) if column in COUNTS else cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column} is {cell!r} where a finite number is needed")
    return number


def read_scores(path: Path) -> list[ScoreRow]:
    """Read the scores of one estimator on one test set, one row a mixture.

    Raises:
        UserError: a cell that should hold a number does not, or holds NaN or infinity.
    """
    rows = []
    for cells in read_rows(path):
        try:
            rows.append(parse_score_row(cells))
        except ValueError as error:
            raise UserError(
                f"{path}: mixture {cells.get('mixture_ID')}: {error}; remove the file and score "
                "the set again."
            ) from error
    return rows


def format_scores_csv(rows: Sequence[ScoreRow]) -> str:
    """The rows as the text of a CSV table."""
    cells = [row.as_cells() for row in rows]
    return format_rows(cells, _list_columns(cells))


def _list_columns(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """Columns of the fullest row in their order, then what others add."""
    fullest = max(rows, key=len)
    columns = dict.fromkeys(fullest)
    for row in rows:
        columns |= dict.fromkeys(row)
    if "error" in columns:  # beside the problem that it explains
        ordered = [column for column in columns if column != "error"]
        ordered.insert(ordered.index("problems") + 1, "error")
        return ordered
    return list(columns)


def hash_audio_of(rows: Sequence[ScoreRow]) -> str:
    """Fingerprint of the audio of a whole test set, from those of its mixtures."""
    return hash_text("\n".join(row.audio for row in rows))


def describe_unscored(unscored: Mapping[str, Sequence[ScoreRow]]) -> list[str]:
    """Sentences that name mixtures without scores, and why.

    Args:
        unscored: such rows by estimator; what several have in common is said once.
    """
    whose: dict[str, list[str]] = {}
    for name, rows in unscored.items():
        if rows:
            whose.setdefault(_describe_rows(rows), []).append(name)
    everywhere = len(unscored)
    return [
        f"{'every estimator' if len(names) == everywhere > 1 else ', '.join(names)}: {text}"
        for text, names in whose.items()
    ]


def _describe_rows(rows: Sequence[ScoreRow]) -> str:
    named = [f"{row.mixture_id} ({row.error or ' '.join(row.problems)})" for row in rows]
    return (
        f"{len(rows)} of the mixtures could not be scored, and no mean holds them: "
        f"{list_first(named, N_NAMED, '; ')}."
    )
