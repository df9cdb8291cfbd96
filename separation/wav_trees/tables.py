"""Mixture tables of the command line, and the WAV tree that each becomes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.errors import UserError
from separation.mixtures.published_lists import find_list_reader
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import (
    MixtureRow,
    Origin,
    list_noises,
    name_dataset,
    name_split,
    read_mixture_table,
)
from separation.wav_trees.tree import Tree

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenTable:
    """A table that was read, and the tree that its name stands for."""

    rows: list[MixtureRow]
    tree: Tree


def open_tables(
    paths: Sequence[Path],
    corpora: Corpora,
    out: Path,
    *,
    rates: Sequence[int],
    modes: Sequence[str],
    types: Sequence[str],
) -> list[OpenTable]:
    """Read and check all tables.

    Args:
        paths: LibriMix's CSV, ours, or wsj0-mix's .txt.
        corpora: roots of their paths.
        out: folder of the trees.
        rates: Hz, multiples of 1000.
        modes: of ``min`` and ``max``.
        types: of ``mix_clean``, ``mix_both`` and ``mix_single``.

    Raises:
        UserError: a broken table, or noise that is asked for and not there.
    """
    tables = []
    for path in paths:
        rows, folder, split, own_types = _read_table(path, corpora.speech, tuple(types))
        tree = Tree(
            folder=out / folder,
            split=split,
            rates=tuple(rates),
            modes=tuple(modes),
            types=own_types,
        )
        tables.append(OpenTable(rows, tree))
    for table in tables:
        _check_noise(table, corpora)
    return tables


def _read_table(
    path: Path, speech: Path, types: tuple[str, ...]
) -> tuple[list[MixtureRow], str, str, tuple[str, ...]]:
    """Rows, the tree's folder, the split, and the mixture types that there are of them."""
    if lists := find_list_reader(path):
        n_src, condition = lists.parse_name(path)
        rows = lists.read_list(path.parent, n_src, condition, speech)
        return rows, f"{n_src}speakers", condition, ("mix",)
    rows = _drop_repeated(read_mixture_table(path, allow_repeats=True), path)
    if rows[0].origin == Origin.EXISTING:
        raise UserError(f"{path}: names audio that exists already; there is nothing to render.")
    dataset = name_dataset(path, rows[0].n_src)
    own_types = ("mix",) if rows[0].origin == Origin.WSJ0 else types
    return rows, dataset, name_split(path), own_types


def _drop_repeated(rows: list[MixtureRow], path: Path) -> list[MixtureRow]:
    """Each mixture once: wsj0-mix lists some twice, with all that is said of them."""
    kept = {row.mixture_id: row for row in rows}
    if len(kept) < len(rows):
        n_again = len(rows) - len(kept)
        logger.warning("%s: lists %d mixtures a second time; rendered once", path, n_again)
    return list(kept.values())


def _check_noise(table: OpenTable, corpora: Corpora) -> None:
    split, types = table.tree.split, table.tree.types
    if not set(types) - {"mix_clean", "mix"}:
        return
    if not list_noises(table.rows):
        raise UserError(f"{split}: the table names no noise; ask for --types mix_clean alone.")
    if corpora.noise is None:
        raise UserError(
            f"--types {' '.join(types)}: noise is needed; add --corpus wham=DIR, or ask for "
            "--types mix_clean alone."
        )
