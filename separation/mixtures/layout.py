"""Trees of mixtures that exist as audio: where their splits lie, and the mixtures of a folder.

A folder of mixtures holds ``mix_clean/`` (or ``mix/``, ``mix_both/``), ``s1/``, ``s2/`` (``s3/``)
with files of the same names; a tree holds such folders as its splits, directly or in LibriMix's or
wsj0-mix's branches. Symbolic links are followed; nothing is searched any deeper, so a loop of links
ends nothing. Hidden files, such as the ``._a.wav`` that macOS leaves, are no mixtures.
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import read_rows
from separation.mixtures.kinds import MIX_FOLDERS
from separation.mixtures.table import MixtureRow, make_existing_row, make_faulty_row

logger = logging.getLogger(__name__)

TASK_FOLDERS = {"sep_clean": ("mix_clean", "mix"), "sep_noisy": ("mix_both", "mix")}
SPLIT_FOLDERS = {
    "train": ("train", "train-100", "train-360", "tr"),
    "dev": ("dev", "cv", "valid", "val"),
    "test": ("test", "tt"),
}
SINGLE_FOLDERS = ("mix_single", "mix_both", "mix")  # of one speaker with noise
TREE_FOLDERS = (
    *("", "Libri2Mix", "Libri3Mix", "2speakers", "3speakers"),
    *("Libri1Mix", "Libri4Mix", "Libri5Mix", "4speakers", "5speakers"),
    *("Mix1", "Mix2", "Mix3", "Mix4", "Mix5"),  # as render names trees of other tables
)
SUFFIXES = (".wav", ".flac")
STATED = ("speaker_", "level_difference_")  # columns that a table beside audio may add


def find_splits(tree: Path, sample_rate: int, mode: str, train: str) -> dict[str, Path]:
    """The folders of train, dev and test below a tree of mixtures; all must be there.

    Args:
        tree: a LibriMix tree (``Libri2Mix`` or a folder in it), a wsj0-mix tree, or any folder
            with ``train``, ``dev`` and ``test`` in it.
        train: the preferred name of the training folder, such as ``train-100``.

    Raises:
        MissingInputError: no such folder, or a split is not there.
    """
    for place in _list_places(tree, sample_rate, mode):
        found = {}
        for split, names in SPLIT_FOLDERS.items():
            wanted = (train, *names) if split == "train" else names
            folders = [place / name for name in wanted if (place / name).is_dir()]
            if folders:
                found[split] = folders[0]
        if len(found) == len(SPLIT_FOLDERS):
            return found
    raise MissingInputError(
        f"--corpus mixtures={tree}: it should hold train (or train-100, train-360, tr), dev "
        f"(or cv) and test (or tt), directly or in {_name_branch(sample_rate, mode)}, each with "
        "mix/ (or mix_clean/, mix_both/), s1/ and s2/; or name them with --corpus train=DIR "
        "--corpus dev=DIR --corpus test=DIR."
    )


def find_folders(tree: Path, sample_rate: int, mode: str) -> list[Path]:
    """Folders of mixtures: the one given, or whichever splits a tree has, training first.

    Raises:
        MissingInputError: there are none.
    """
    if holds_mixtures(tree):
        return [tree]
    for place in _list_places(tree, sample_rate, mode):
        found = [p for p in place.iterdir() if holds_mixtures(p)] if place.is_dir() else []
        if found:
            return sorted(found, key=lambda folder: rank_split(folder.name))
    raise MissingInputError(
        f"{tree}: holds no mixtures with references: it should have mix/ (or mix_clean/, "
        "mix_both/), s1/ and s2/, or folders with them, such as train/ dev/ test/, directly or in "
        f"{_name_branch(sample_rate, mode)} (see --rate, --mode)."
    )


def _name_branch(sample_rate: int, mode: str) -> str:
    return f"wav{sample_rate // 1000}k/{mode}"


def _list_places(tree: Path, sample_rate: int, mode: str) -> Iterator[Path]:
    """Where splits may lie: here, or in the branch of a rate and a mode."""
    yield tree
    for name in TREE_FOLDERS:
        yield tree / name / _name_branch(sample_rate, mode)
    yield tree / mode


def holds_mixtures(folder: Path) -> bool:
    """Whether there are folders of mixtures and of a first source."""
    return (folder / "s1").is_dir() and any((folder / name).is_dir() for name in MIX_FOLDERS)


def shares_names(folder: Path) -> bool:
    """Whether some file of a folder of mixtures has one name in the mixtures' folder and in s1."""
    kinds = [name for name in MIX_FOLDERS if (folder / name).is_dir()]
    return any(_list_audio(folder / kind) & _list_audio(folder / "s1") for kind in kinds)


def rank_split(name: str) -> tuple[int, str]:
    """Order of splits by their folders' names: training, dev, test, then others."""
    names = [name for split in SPLIT_FOLDERS.values() for name in split]
    return (names.index(name) if name in names else len(names)), name


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """A folder of mixtures: the folders that make up a mixture, and the files in them."""

    folder: Path
    parts: list[str]  # the mixtures', then the sources'
    names: list[str]  # that any part has, sorted
    absent: list[str]  # parts of mixtures that are not there, such as ``s2/a.wav``


def list_mixtures(folder: Path, n_src: int, task: str) -> list[MixtureRow]:
    """Rows of one split's folder; a mixture that lacks a part is a row with its fault.

    Raises:
        MissingInputError: no folder of mixtures for the task.
        UserError: another number of speakers, or no files.
    """
    single = n_src == 1 and task == "sep_noisy"
    kinds = SINGLE_FOLDERS if single else TASK_FOLDERS[task]
    listing = _list_folder(folder, kinds, f"mixtures.task={task}")
    n_found = len(listing.parts) - 1
    if n_found != n_src:
        raise UserError(
            f"{folder}: holds {', '.join(listing.parts[1:])} where mixtures.n_src={n_src}; add "
            f"--set mixtures.n_src={n_found}."
        )
    absent: dict[str, list[str]] = defaultdict(list)
    for path in listing.absent:
        absent[Path(path).name].append(f"{folder / path}: is not there")
    faults = {name: "; ".join(texts) for name, texts in absent.items()}
    faults |= _find_repeated(listing.names)
    return [
        make_faulty_row(row.mixture_id, faults[name]) if name in faults else row
        for name, row in zip(listing.names, _make_rows(listing), strict=True)
    ]


def list_files(folder: Path, kind: str = "") -> list[MixtureRow]:
    """Rows of one folder, leniently: every name that any part has, with what is stated beside it.

    What is not there is found when it is read. Noise and a table beside the folder
    (``metadata.csv``, ``<folder>.csv``) are taken where they are there.

    Args:
        kind: of ``MIX_FOLDERS``; empty: the first of ``MIX_FOLDERS``.

    Raises:
        MissingInputError, UserError: no such mixtures, sources with a gap, no audio.
    """
    listing = _list_folder(folder, (kind,) if kind else MIX_FOLDERS, f"--type {kind}")
    noisy = listing.parts[0] != "mix_clean" and (folder / "noise").is_dir()
    rows = _make_rows(listing, noise="noise" if noisy else "")
    return _add_stated(rows, folder)


def _list_folder(folder: Path, kinds: Sequence[str], asked_for: str) -> _Listing:
    kind = next((name for name in kinds if (folder / name).is_dir()), None)
    if kind is None:
        there = ", ".join(f"{name}/" for name in MIX_FOLDERS if (folder / name).is_dir())
        raise MissingInputError(
            f"{folder}: {asked_for} needs {'/ or '.join(kinds)}/; it has {there or 'neither'}."
        )
    sources = sorted(path.name for path in folder.glob("s[1-9]") if path.is_dir())
    if kind == "mix_single":  # of the first speaker, whatever the other mixtures are of
        sources = sources[:1]
    if not sources or sources != [f"s{k}" for k in range(1, len(sources) + 1)]:
        raise UserError(
            f"{folder}: holds {', '.join(sources) or 'no s1'} where s1, s2, ... are "
            "expected; add the missing references, with files of the same names as the mixtures'."
        )
    files = {part: _list_audio(folder / part) for part in (kind, *sources)}
    names = sorted(set().union(*files.values()))
    if not names:
        raise UserError(f"{folder / kind}: holds no WAV or FLAC files.")
    absent = [f"{part}/{name}" for name in names for part in files if name not in files[part]]
    return _Listing(folder=folder, parts=list(files), names=names, absent=absent)


def _list_audio(folder: Path) -> set[str]:
    """Names of audio files; those of links that lead nowhere too, which reading will tell."""
    with os.scandir(folder) as entries:
        return {
            entry.name
            for entry in entries
            if Path(entry.name).suffix.lower() in SUFFIXES
            and not entry.name.startswith(".")
            and not Path(entry.path).is_dir()  # entry.is_dir() fails on a loop of links
        }


def _make_rows(listing: _Listing, noise: str = "") -> list[MixtureRow]:
    rows = []
    for name in listing.names:
        mixture, *sources = (str(listing.folder / part / name) for part in listing.parts)
        noise_path = str(listing.folder / noise / name) if noise else ""
        rows.append(make_existing_row(Path(name).stem, mixture, sources, noise_path))
    return rows


def _find_repeated(names: Sequence[str]) -> dict[str, str]:
    """Names that differ in their suffix only: nobody could tell their scores apart."""
    counts = Counter(Path(name).stem for name in names)
    repeated = [name for name in names if counts[Path(name).stem] > 1]
    return {name: f"{name}: is the name of {counts[Path(name).stem]} mixtures" for name in repeated}


def _add_stated(rows: list[MixtureRow], folder: Path) -> list[MixtureRow]:
    """Rows with the speakers and levels that a table beside the audio states."""
    places = [folder / "metadata.csv", folder.parent / f"{folder.name}.csv"]
    places.append(folder.parent / "metadata" / f"{folder.name}.csv")
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        return rows
    lines = {line.get("mixture_ID"): line for line in read_rows(table)}
    if None in lines:
        logger.warning("%s: has no column mixture_ID, so speakers and levels stay unknown", table)
    return [_add_line(row, lines.get(row.mixture_id, {}), table) for row in rows]


def _add_line(row: MixtureRow, line: dict[str, str], table: Path) -> MixtureRow:
    try:
        return row.with_columns(
            {key: text for key, text in line.items() if key and key.startswith(STATED)}
        )
    except UserError as error:
        logger.warning("%s: %s: %s; the line is left out", table, row.mixture_id, error)
        return row
