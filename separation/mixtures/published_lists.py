"""Published lists of mixtures: what the recipe needs of them, whichever they are."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from separation.corpora.plugin import Recording, list_names, load, read_info
from separation.errors import UserError
from separation.files import locate_recording
from separation.mixtures.table import MixtureRow, list_noises, list_sources

logger = logging.getLogger(__name__)

NAME_DRAW = "draw mixtures from what is there with --set metadata.draw=true"


def read_published(
    name: str, root: Path, speech: Path, n_src: int, train: str
) -> dict[str, list[MixtureRow]]:
    """The lists of train, dev and test.

    Args:
        name: of the lists, such as ``librimix``.
        root: the clone that holds the lists.
        speech: the corpus (wsj0-mix's paths depend on how a copy was unpacked).
        train: which training list.

    Raises:
        MissingInputError, UserError: a list is absent, for another number of speakers, broken.
    """
    module = load(name)
    return {
        split: module.read_list(root, n_src, published, speech)
        for split, published in module.name_lists(train).items()
    }


def check_speakers(name: str, lists: dict[str, list[MixtureRow]]) -> None:
    """Check that splits share no speaker and no mixture has one twice.

    Raises:
        UserError: names the speakers.
    """
    speakers = {}
    for split, rows in lists.items():
        twice = [row.mixture_id for row in rows if len(set(_list_speakers(row))) < row.n_src]
        if twice:
            raise UserError(
                f"{split}: mixture {twice[0]} has one speaker twice; fetch the list again."
            )
        speakers[split] = {speaker for row in rows for speaker in _list_speakers(row)}
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        common = speakers[first] & speakers[second]
        if common and (first, second) not in read_info(name).shared_speakers:
            raise UserError(
                f"{first} and {second} share {len(common)} speakers ({sorted(common)[0]}, ...); "
                "fetch the lists again."
            )


def _list_speakers(row: MixtureRow) -> list[str]:
    return [source.speaker for source in row.sources]


def keep_complete(rows: list[MixtureRow], speech: Path, noise: Path | None) -> list[MixtureRow]:
    """The mixtures whose recordings are all there, and whose noise is where one is given."""
    paths = {path for path, _ in list_sources(rows)}
    there = {path for path in paths if locate_recording(speech / path).is_file()}
    noises = {path for path, _ in list_noises(rows)} if noise is not None else set()
    heard = {path for path in noises if noise and locate_recording(noise / path).is_file()}
    return [
        row
        for row in rows
        if all(path in there for source in row.sources for path in source.paths)
        and (noise is None or row.noise is None or row.noise.path in heard)
    ]


def list_utterances(rows: list[MixtureRow]) -> list[Recording]:
    """The utterances that a list names, each once, for dynamic mixing; sorted by path."""
    found = {}
    for row in rows:
        for source in row.sources:
            found[source.path] = Recording(
                speaker=source.speaker,
                sex=source.sex,
                path=source.path,
                prompt=Path(source.path).stem,
                channel="first",
                subset="train",
            )
    return [found[path] for path in sorted(found)]


def keep_subsets(recordings: list[Recording], name: str, train: str) -> list[Recording]:
    """Of a corpus with subsets, those that the recipe's training and test lists stand for.

    All, where the corpus has no subsets, or none of those.
    """
    wanted = name_subsets(name, train) if any(row.subset for row in recordings) else ()
    return [row for row in recordings if row.subset in wanted] or recordings


def name_subsets(name: str, train: str) -> tuple[str, ...]:
    """Subsets of the corpus of speech whose utterances the lists name; none: not known, or all."""
    if name == "none":
        return ()
    module = load(name)
    return module.name_subsets(train) if hasattr(module, "name_subsets") else ()


def explain_missing(name: str, paths: list[str]) -> str:
    """What the lists' own code knows of files that are not there; mostly nothing."""
    module = load(name)
    return module.explain_missing(paths) if hasattr(module, "explain_missing") else ""


@dataclass(frozen=True)
class PublishedMatch:
    """The published list that a set of mixtures bears the IDs of.

    Attributes:
        lists: the set of lists, such as ``librimix``.
        name: of the list, such as ``libri2mix_test-clean``.
        is_same: whether paths and gains are the published ones too.
    """

    lists: str
    name: str
    is_same: bool


def recognise(rows: list[MixtureRow]) -> PublishedMatch | None:
    """The published list whose mixtures these are, if any.

    Args:
        rows: of a table, or of audio that exists (then only the IDs are compared).
    """
    for lists in _list_recognisable():
        name, is_same = load(lists).recognise(rows)
        if name:
            return PublishedMatch(lists, name, is_same)
    return None


def find_lists_by_ids(rows: list[MixtureRow]) -> str:
    """The published lists whose kind of mixture IDs all rows have, such as ``librimix``."""
    return next((name for name in _list_recognisable() if load(name).has_ids(rows)), "")


def add_speakers(rows: list[MixtureRow]) -> list[MixtureRow]:
    """Rows with the speakers that their mixture IDs hold, where no table states any."""
    for name in _list_recognisable():
        rows = load(name).add_speakers(rows)
    return rows


def _list_recognisable() -> list[str]:
    return [name for name in list_names("lists") if hasattr(load(name), "recognise")]


def find_list_reader(path: Path) -> ModuleType | None:
    """The code of the lists whose files have this suffix and are no mixture tables as such."""
    names = [name for name in list_names("lists") if read_info(name).list_suffix == path.suffix]
    return load(names[0]) if names else None


def describe(rows: list[MixtureRow]) -> str:
    """Counts of a list in a few words."""
    speakers = Counter(speaker for row in rows for speaker in _list_speakers(row))
    return f"{len(rows)} mixtures of {len(speakers)} speakers"
