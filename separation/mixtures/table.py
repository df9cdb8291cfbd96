"""Mixture tables of any origin: reading, checking, and what they need of a corpus."""

import math
import re
from collections import Counter
from pathlib import Path, PurePosixPath

from separation.errors import MissingInputError, UserError
from separation.files import read_rows


def count_sources(row: dict[str, str]) -> int:
    """Number of sources of a row in LibriMix's columns."""
    names = (key for key in row if key)  # csv's key of surplus columns is None
    return sum(key.startswith("source_") and key.endswith("_path") for key in names)


def read_mixture_table(path: Path) -> list[dict[str, str]]:
    """Read a mixture table: LibriMix's published CSVs and ours (LibriMix's columns).

    Raises:
        MissingInputError: there is no such file.
        UserError: it is no mixture table, is empty, repeats an ID or holds a bad gain.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such mixture table; check the path.")
    try:
        rows = read_rows(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a CSV table of mixtures ({error}).") from error
    if not rows:
        raise UserError(f"{path}: holds no mixtures; fetch it again.")
    needed = {"mixture_ID", "source_1_path", "source_2_path"}
    if not needed <= set(rows[0]) or not needed_gains(rows[0]) <= set(rows[0]):
        raise UserError(
            f"{path}: is no mixture table; its columns should be mixture_ID, source_1_path, "
            "source_1_gain, source_2_path, source_2_gain, ... as in LibriMix's metadata."
        )
    check_rows(rows, path)
    return rows


def needed_gains(row: dict[str, str]) -> set[str]:
    """Names of the gain columns; rows of existing audio and of wsj0-mix have none."""
    if "mixture_path" in row or "source_1_level" in row:
        return set()
    return {f"source_{number}_gain" for number in range(1, count_sources(row) + 1)}


def check_rows(rows: list[dict[str, str]], path: Path) -> None:
    """Raise :class:`UserError` for repeated IDs, cut lines, bad gains or paths."""
    repeated = [name for name, count in Counter(r["mixture_ID"] for r in rows).items() if count > 1]
    if repeated:
        raise UserError(f"{path}: mixture_ID {repeated[0]} occurs more than once.")
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise UserError(f"{path}: line {line} has another number of columns than the first.")
        for key, value in row.items():
            if key.endswith("_gain") and not _is_gain(value):
                raise UserError(f"{path}: line {line}: {key}={value!r} is not a gain.")
            if key.endswith("_path") and "mixture_path" not in row and not _is_inside(value):
                raise UserError(f"{path}: line {line}: {key}={value!r} should be relative.")


def _is_gain(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and float(text) > 0
    except ValueError:
        return False


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts


def name_split(path: Path) -> str:
    """The folder name that LibriMix's generator gives to a metadata file.

    >>> name_split(Path("libri2mix_train-clean-100.csv"))
    'train-100'
    """
    return re.sub(r"^libri\dmix_", "", path.stem).replace("-clean", "")


def name_dataset(path: Path, n_src: int) -> str:
    """``Libri2Mix`` for LibriMix's own lists, ``Mix2`` for others."""
    return f"Libri{n_src}Mix" if re.match(r"libri\dmix_", path.stem) else f"Mix{n_src}"


def split_paths(row: dict[str, str], number: int) -> list[str]:
    """Recordings of source ``number``: several where a piece is joined of them.

    >>> split_paths({"source_1_path": "a.wav|b.wav", "source_1_start": "0"}, 1)
    ['a.wav', 'b.wav']
    """
    path = row[f"source_{number}_path"]
    return path.split("|") if row.get(f"source_{number}_start") else [path]


def list_sources(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    """``(path, channel)`` of every recording of a source, each once, sorted."""
    found = {
        (path, row.get(f"source_{number}_channel") or "mono")
        for row in rows
        for number in range(1, count_sources(row) + 1)
        for path in split_paths(row, number)
    }
    return sorted(found)


def list_noises(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    """``(path, channel)`` of every noise, each once, sorted."""
    return sorted({(row["noise_path"], "first") for row in rows if row.get("noise_path")})
