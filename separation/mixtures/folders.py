"""Folders of mixtures that exist as audio, read leniently: what is missing is found later.

:mod:`separation.mixtures.existing`, which training reads them with, stops at the first fault.
"""

import logging
from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import read_rows
from separation.mixtures.existing import SPLIT_FOLDERS, SUFFIXES
from separation.mixtures.kinds import MIX_FOLDERS

logger = logging.getLogger(__name__)
STATED = ("speaker_", "level_difference_")  # columns that a table beside audio may add


def find_folders(tree: Path, sample_rate: int, mode: str) -> list[Path]:
    """Folders of mixtures: the one given, or all splits of a tree, training first.

    Raises:
        MissingInputError: there are none.
    """
    branch = f"wav{sample_rate // 1000}k/{mode}"
    heads = ("", "Libri2Mix", "Libri3Mix", "2speakers", "3speakers")
    places = [tree, *(tree / head / branch for head in heads), tree / mode]
    if _holds_mixtures(tree):
        return [tree]
    for place in places:
        found = [p for p in place.iterdir() if _holds_mixtures(p)] if place.is_dir() else []
        if found:
            return sorted(found, key=_rank)
    raise MissingInputError(
        f"{tree}: holds no mixtures with references: it should have mix/ (or mix_clean/, "
        "mix_both/), s1/ and s2/, or folders with them, such as train/ dev/ test/, directly or in "
        f"{branch} (see --rate, "
        "--mode)."
    )


def _holds_mixtures(folder: Path) -> bool:
    return (folder / "s1").is_dir() and any((folder / name).is_dir() for name in MIX_FOLDERS)


def _rank(folder: Path) -> tuple[int, str]:
    names = [name for split in SPLIT_FOLDERS.values() for name in split]
    return (names.index(folder.name) if folder.name in names else len(names)), folder.name


def list_files(folder: Path, kind: str = "") -> list[dict[str, str]]:
    """Rows of one folder: every name that any of its parts has.

    Args:
        kind: ``mix``, ``mix_clean`` or ``mix_both``; empty: the first that is there.

    Raises:
        MissingInputError, UserError: no such mixtures, fewer than two sources, no audio.
    """
    kinds = [name for name in MIX_FOLDERS if (folder / name).is_dir()]
    if kind and kind not in kinds:
        raise MissingInputError(f"{folder}: --type {kind}: it has {', '.join(kinds)}.")
    kind = kind or kinds[0]
    sources = sorted(p.name for p in folder.glob("s[1-9]") if p.is_dir())
    if len(sources) < 2 or sources != [f"s{k}" for k in range(1, len(sources) + 1)]:
        raise UserError(
            f"{folder}: holds {', '.join(sources)} where s1, s2 (, s3) are expected; add the "
            "missing references, with files of the same names as the mixtures'."
        )
    names = sorted({name for part in (kind, *sources) for name in _list_audio(folder / part)})
    if not names:
        raise UserError(f"{folder / kind}: holds no WAV or FLAC files.")
    stated = _read_beside(folder)
    noisy = kind != "mix_clean" and (folder / "noise").is_dir()
    rows = []
    for name in names:
        row = {"mixture_ID": Path(name).stem, "mixture_path": str(folder / kind / name)}
        row |= {f"source_{k}_path": str(folder / part / name) for k, part in enumerate(sources, 1)}
        row |= {"noise_path": str(folder / "noise" / name)} if noisy else {}
        rows.append(row | stated.get(row["mixture_ID"], {}))
    return rows


def _list_audio(folder: Path) -> list[str]:
    names = (p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    return [name for name in names if not name.startswith(".")]


def _read_beside(folder: Path) -> dict[str, dict[str, str]]:
    """Speakers and levels that a table beside the audio states, by mixture."""
    places = [folder / "metadata.csv", folder.parent / f"{folder.name}.csv"]
    places.append(folder.parent / "metadata" / f"{folder.name}.csv")
    table = next((place for place in places if place.is_file()), None)
    rows = read_rows(table) if table else []
    if rows and "mixture_ID" not in rows[0]:
        logger.warning("%s: has no column mixture_ID, so speakers and levels stay unknown", table)
    return {
        row["mixture_ID"]: {key: row[key] for key in row if key and key.startswith(STATED)}
        for row in rows
        if row.get("mixture_ID")
    }
