"""Files of mixtures in whatever way people lay them out: which file is which part of which mixture.

=================  ============================================================================
a folder a part    ``mix/a.wav s1/a.wav s2/a.wav``, also ``spk1/``, ``source_1/``, ``est1/``
a folder a mixture ``a/mix.wav a/s1.wav a/s2.wav``
a suffix a part    ``a.wav`` (or ``a_mix.wav``), ``a_s1.wav a_s2.wav``, ``a_1.wav a_2.wav``
a list a part      ``wav.scp spk1.scp spk2.scp`` (Kaldi, ESPnet), ``tr_mix.scp tr_s1.scp``,
                   ``mix.json s1.json s2.json`` (``[[path, length], ...]``, as Asteroid has them)
a table            CSV with a column a part (``mix_wav``, ``s1_path``, ``source_1``), or JSON:
                   records with such keys, or with a list under ``sources``
=================  ============================================================================

The layout that :mod:`separation.mixtures.layout` knows, with files of one name, is the first.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from separation.errors import UserError
from separation.mixtures.gather.folders import (
    gather_folders,
    gather_mixture_folders,
    gather_suffixes,
)
from separation.mixtures.gather.moved_files import find_moved
from separation.mixtures.gather.record import Gathered, make_rows
from separation.mixtures.gather.tables import TABLE_SUFFIXES, gather_lists, gather_table
from separation.mixtures.layout import rank_split
from separation.mixtures.table import MixtureRow, read_table
from separation.text import list_first

LAYOUTS = (
    "mix/ s1/ s2/, a folder a mixture (a/mix.wav a/s1.wav a/s2.wav), names with suffixes (a.wav "
    "a_s1.wav a_s2.wav), lists wav.scp spk1.scp spk2.scp, or a CSV or JSON table with a column a "
    "part"
)
N_SHOWN = 5  # names of a folder that is in no layout


def gather(path: Path, roots: Sequence[Path] = ()) -> list[Gathered]:
    """What a folder or table holds: one set, or a set for each split that its lists name.

    Args:
        path: of a folder or table.
        roots: where paths of a list may lead, beside the folders above it.

    Returns:
        empty where it is in none of the layouts.

    Raises:
        UserError: a list that cannot be read, or two files for one part of a mixture.
    """
    if path.is_file():
        return gather_table(path, roots) if path.suffix.lower() in TABLE_SUFFIXES else []
    ways: list[Callable[[], list[Gathered]]] = [
        lambda: gather_folders(path),
        lambda: gather_lists(path, roots),
        lambda: gather_mixture_folders(path),
        lambda: gather_suffixes(path),
    ]
    return next((found for way in ways if (found := way())), [])


def gather_splits(path: Path, roots: Sequence[Path] = ()) -> dict[str, Gathered]:
    """What a folder holds, or the folders in it, by the names of the splits, training first."""
    sets = {gathered.name or path.name: gathered for gathered in gather(path, roots)}
    if not sets:
        folders = sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] != ".")
        sets = {p.name: gathered for p in folders for gathered in gather(p, roots)}
    return dict(sorted(sets.items(), key=lambda item: rank_split(item[0])))


def read_any_table(path: Path, roots: Iterable[Path] = ()) -> list[MixtureRow]:
    """Rows of a mixture table of ours, leniently, or of another table that names audio.

    Args:
        path: of a CSV or JSON file.
        roots: folders where audio of a table may lie that was written on another machine.

    Raises:
        UserError: it is neither.
    """
    if path.suffix.lower() in (".json", ".jsonl"):
        if gathered := gather(path, [*roots]):
            return make_rows(gathered[0])
        raise UserError(
            f"{path}: names no audio of mixtures; each record should hold paths such as "
            'mixture_path, source_1_path and source_2_path, or a list "sources".'
        )
    try:
        rows, _ = read_table(path)
    except UserError:
        if gathered := gather(path, [*roots]):
            return make_rows(gathered[0])
        raise
    return find_moved(rows, path, [*roots])


def describe_folder(path: Path) -> str:
    """What lies in a folder, for a sentence on why it is in none of the layouts."""
    names = sorted(p.name + "/" * p.is_dir() for p in path.iterdir() if p.name[0] != ".")
    return list_first(names, N_SHOWN) or "nothing"
