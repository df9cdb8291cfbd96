"""Folders of mixtures: a folder a part, a folder a mixture, or a suffix a part."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from separation.audio.files import AUDIO_SUFFIXES
from separation.mixtures.gather.part_names import (
    MIXTURE,
    MIXTURE_NAMES,
    name_part,
    number_from_one,
    split_stem,
)
from separation.mixtures.gather.record import Gathered, Parts, add_part, count_from_one


def _list_audio(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if Path(entry.name).suffix.lower() in AUDIO_SUFFIXES and entry.name[0] != "."
        ]
    return [folder / name for name in sorted(names)]


def _list_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def _name_parts(names: Sequence[str]) -> dict[str, str]:
    """Names that are parts' -> the part; of several for the mixture the preferred one."""
    found = {name: part for name in names if (part := name_part(name))}
    mixtures = sorted(
        (name for name, part in found.items() if part == MIXTURE),
        key=lambda name: MIXTURE_NAMES.index(name.lower()),
    )
    for name in mixtures[1:]:
        del found[name]
    shifted = number_from_one(found.values())
    return {name: shifted[part] for name, part in found.items()}


def gather_folders(folder: Path) -> list[Gathered]:
    parts = _name_parts([path.name for path in _list_folders(folder)])
    if "s1" not in parts.values():
        return []
    mixtures: dict[str, Parts] = defaultdict(dict)
    for name, part in parts.items():
        for path in _list_audio(folder / name):
            add_part(mixtures[_strip_part(path.stem, part)], part, str(path), folder)
    return [_sort(folder, "a folder a part", mixtures)] if mixtures else []


def _strip_part(stem: str, part: str) -> str:
    """The mixture that a file of a part's folder is of: ``s1/a.wav`` and ``s1/a_s1.wav`` alike."""
    name, named = split_stem(stem)
    return name if named == part and not re.search(r"[_-][0-9]$", stem) else stem


def gather_mixture_folders(folder: Path) -> list[Gathered]:
    mixtures: dict[str, Parts] = {}
    for own in _list_folders(folder):
        files = {path.stem: path for path in _list_audio(own)}
        parts = _name_parts(list(files)) or _name_suffixed(list(files))
        if "s1" in parts.values():
            mixtures[own.name] = {}
            for stem, part in parts.items():
                add_part(mixtures[own.name], part, str(files[stem]), folder)
    return [_sort(folder, "a folder a mixture", mixtures)] if mixtures else []


def _name_suffixed(stems: Sequence[str]) -> dict[str, str]:
    """Parts by the suffixes of names in the folder of one mixture: ``a/a_s1.wav``."""
    found = {stem: split_stem(stem)[1] or MIXTURE for stem in stems}
    shifted = number_from_one(found.values())
    return {stem: shifted[part] for stem, part in found.items()}


def gather_suffixes(folder: Path) -> list[Gathered]:
    files = _list_audio(folder)
    split = {path: split_stem(path.stem) for path in files}
    mixtures: dict[str, Parts] = defaultdict(dict)
    for path, (name, part) in split.items():
        if part:
            add_part(mixtures[name], part, str(path), folder)
    for path, (name, part) in split.items():
        if not part and name in mixtures:  # without a suffix: the mixture itself
            mixtures[name].setdefault(MIXTURE, str(path))
    whole = {name: parts for name, parts in mixtures.items() if {"s0", "s1"} & set(parts)}
    return [_sort(folder, "a suffix a part", whole)] if whole else []


def _sort(source: Path, layout: str, mixtures: Mapping[str, Parts]) -> Gathered:
    ordered = count_from_one({name: mixtures[name] for name in sorted(mixtures)})
    return Gathered(source=source, layout=layout, mixtures=ordered)
