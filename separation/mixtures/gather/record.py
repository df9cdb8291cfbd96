"""Files of mixtures by mixture and part, and rows of a mixture table made of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from separation.errors import UserError
from separation.mixtures.gather.part_names import MIXTURE, NOISE, number_from_one
from separation.mixtures.table import MixtureRow, make_existing_row, make_faulty_row
from separation.safe_paths import shorten_name

STATED = re.compile(r"speaker_\d_(ID|sex)|level_difference_\d_db|source_\d_transcript")
Parts = dict[str, str]  # by the name of a part, its file


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Files of mixtures, by mixture and part.

    Attributes:
        source: folder or table.
        layout: in words.
        mixtures: ``mixture``, ``s1``, ``s2`` ... ``noise`` -> path, by mixture; in order.
        name: of the split that the names say, such as ``tr`` of ``tr_mix.scp``; mostly empty.
        columns: further cells of a table, by mixture.
    """

    source: Path
    layout: str
    mixtures: Mapping[str, Parts]
    name: str = ""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def n_src(self) -> int:
        """Sources that most mixtures with any have; 0 where none has."""
        counts = [n for parts in self.mixtures.values() if (n := len(list_sources(parts)))]
        return max(sorted(set(counts)), key=counts.count) if counts else 0


def list_sources(parts: Parts) -> list[str]:
    """Paths of the sources in order; those from a gap on are left out."""
    numbers = range(1, len(parts) + 1)
    return [parts[f"s{k}"] for k in numbers if all(f"s{j}" in parts for j in range(1, k + 1))]


def make_rows(gathered: Gathered) -> list[MixtureRow]:
    """Rows of audio that exists; one that lacks a part has its fault.

    Raises:
        UserError: no mixture has a file of the mixture itself.
    """
    if not any(MIXTURE in parts for parts in gathered.mixtures.values()):
        raise UserError(
            f"{gathered.source}: {gathered.layout} holds sources but no mixtures; add mix/ (or "
            "NAME_mix.wav, wav.scp, a column mixture_path)."
        )
    n_src = gathered.n_src
    if not n_src:
        raise UserError(
            f"{gathered.source}: {gathered.layout} names no first source of any mixture, such as "
            "s1, spk1 or source_1; add it."
        )
    return [_make_row(name, parts, n_src, gathered) for name, parts in gathered.mixtures.items()]


def _make_row(name: str, parts: Parts, n_src: int, gathered: Gathered) -> MixtureRow:
    wanted = [MIXTURE, *(f"s{k}" for k in range(1, n_src + 1))]
    absent = [part for part in wanted if part not in parts]
    if absent:
        return make_faulty_row(name, f"{name}: has no {' and no '.join(absent)}")
    paths = [parts[part] for part in wanted]
    stated = gathered.columns.get(name, {})
    try:
        row = make_existing_row(name, paths[0], paths[1:], parts.get(NOISE, ""))
        return row.with_columns({key: stated[key] for key in stated if STATED.fullmatch(key)})
    except UserError as error:
        return make_faulty_row(name, f"{shorten_name(name)}: {error}")


def add_part(parts: Parts, part: str, path: str, where: Path) -> None:
    """Note the file of a part.

    Raises:
        UserError: there is another one already.
    """
    if parts.setdefault(part, path) != path:
        raise UserError(
            f"{where}: {parts[part]} and {path} are both {part} of one mixture; keep one of them."
        )


def count_from_one(mixtures: Mapping[str, Parts]) -> dict[str, Parts]:
    """The same with sources that count from 1."""
    counted = {}
    for name, parts in mixtures.items():
        shifted = number_from_one(parts)
        counted[name] = {shifted[part]: path for part, path in parts.items()}
    return counted
