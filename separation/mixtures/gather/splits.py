"""Mixtures that a recipe trains on, in any layout: a tree with its splits, a folder, or a table."""

from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.mixtures.gather.moved_files import FileFinder
from separation.mixtures.gather.open import LAYOUTS, gather, gather_splits, read_any_table
from separation.mixtures.gather.record import make_rows
from separation.mixtures.gather.tables import TABLE_SUFFIXES
from separation.mixtures.layout import (
    SPLIT_FOLDERS,
    find_splits,
    holds_mixtures,
    list_mixtures,
    shares_names,
)
from separation.mixtures.table import MixtureRow, Origin

Rows = list[MixtureRow]


def list_tree(
    tree: Path, n_src: int, task: str, *, sample_rate: int, mode: str, train: str
) -> dict[str, Rows]:
    """Rows of train, dev and test below a tree of mixtures; all must be there.

    Args:
        tree: as :func:`separation.mixtures.layout.find_splits` takes it; or folders or lists of
            another layout, or tables, that are called after the splits.
        n_src: sources of every mixture.
        task: ``sep_clean`` or ``sep_noisy``.
        sample_rate, mode: of the branch that is looked for first.
        train: the preferred name of the training folder.

    Raises:
        MissingInputError: a split is not there.
        UserError: another number of sources.
    """
    try:
        folders = find_splits(tree, sample_rate, mode, train)
    except MissingInputError:
        if splits := _gather_tree(tree, n_src, train):
            return splits
        raise
    return {split: list_split(folder, n_src, task) for split, folder in folders.items()}


def _gather_tree(tree: Path, n_src: int, train: str) -> dict[str, Rows]:
    """Splits in other layouts; empty where one is not there."""
    if not tree.is_dir():
        return {}
    gathered = gather_splits(tree)
    splits: dict[str, Rows] = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in (train, *names) if split == "train" else names:
            tables = [tree / f"{name}{suffix}" for suffix in TABLE_SUFFIXES]
            table = next((path for path in tables if path.is_file()), None)
            if split not in splits and name in gathered:
                splits[split] = _check_sources(make_rows(gathered[name]), n_src, tree / name)
            elif split not in splits and table:
                splits[split] = list_split(table, n_src, "")
    return splits if len(splits) == len(SPLIT_FOLDERS) else {}


def list_split(path: Path, n_src: int, task: str) -> Rows:
    """Rows of one split: a folder of mixtures in any layout, or a table that names audio.

    A mixture that lacks a part is a row with a fault.

    Raises:
        MissingInputError: it is not there, or in no layout.
        UserError: another number of sources, or a table of recordings and gains.
    """
    if path.is_file():
        return _check_sources(_read_audio_table(path), n_src, path)
    if not path.is_dir():
        raise MissingInputError(f"{path}: no such folder or table of mixtures; check the path.")
    is_ours = holds_mixtures(path) and shares_names(path)
    if not is_ours and (gathered := gather(path)):
        return _check_sources(make_rows(gathered[0]), n_src, path)
    try:
        return list_mixtures(path, n_src, task)
    except MissingInputError as error:
        raise MissingInputError(f"{str(error).rstrip('.')}. Other layouts: {LAYOUTS}.") from error


def _read_audio_table(path: Path) -> Rows:
    """Rows with their paths as they are on this machine, wherever the table's are relative to."""
    rows, finder = read_any_table(path), FileFinder(path)
    recipes = [row for row in rows if not row.fault and row.origin != Origin.EXISTING]
    if recipes:
        raise UserError(
            f"{path}: lists recordings that are to be mixed, and no audio of mixtures; make it "
            "with the command render and give its tree."
        )
    return [
        row.with_columns(
            {} if row.fault else {k: finder.find(v) for k, v in row.list_paths().items()}
        )
        for row in rows
    ]


def _check_sources(rows: Rows, n_src: int, path: Path) -> Rows:
    counts = sorted({row.n_src for row in rows if not row.fault})
    if counts and counts != [n_src]:
        raise UserError(
            f"{path}: its mixtures have {', '.join(map(str, counts))} sources where "
            f"mixtures.n_src={n_src}; add --set mixtures.n_src={counts[-1]}."
        )
    return rows
