"""Published lists of mixtures: what the recipe needs of them, whichever they are."""

import importlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from separation.corpora.plugin import Recording
from separation.errors import UserError
from separation.mixtures.table import count_sources

logger = logging.getLogger(__name__)

SHARED_SPEAKERS = {"wsj0mix": {("train", "dev")}}  # by design: wsj0-mix's cv has tr's speakers


def import_lists(name: str) -> Any:
    """``local/lists_<name>.py``."""
    return importlib.import_module(f"local.lists_{name}")


def read_published(
    name: str, root: Path, speech: Path, n_src: int, train: str
) -> dict[str, list[dict[str, str]]]:
    """The lists of train, dev and test.

    Args:
        name: ``librimix`` or ``wsj0mix``.
        root: the clone that holds the lists.
        speech: the corpus (wsj0-mix's paths depend on how a copy was unpacked).
        train: which training list.

    Raises:
        MissingInputError, UserError: a list is absent, for another number of speakers, broken.
    """
    module = import_lists(name)
    return {
        split: module.read_list(root, n_src, published, speech)
        for split, published in module.name_lists(train).items()
    }


def check_speakers(name: str, lists: dict[str, list[dict[str, str]]]) -> None:
    """Check that splits share no speaker and no mixture has one twice.

    Raises:
        UserError: names the speakers.
    """
    speakers = {}
    for split, rows in lists.items():
        teams = [_list_speakers(row) for row in rows]
        twice = [
            row["mixture_ID"] for row, t in zip(rows, teams, strict=True) if len(set(t)) < len(t)
        ]
        if twice:
            raise UserError(
                f"{split}: mixture {twice[0]} has one speaker twice; fetch the list again."
            )
        speakers[split] = {speaker for team in teams for speaker in team}
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        common = speakers[first] & speakers[second]
        if common and (first, second) not in SHARED_SPEAKERS.get(name, set()):
            raise UserError(
                f"{first} and {second} share {len(common)} speakers ({sorted(common)[0]}, ...); "
                "fetch the lists again."
            )


def _list_speakers(row: dict[str, str]) -> list[str]:
    return [row[f"speaker_{number}_ID"] for number in range(1, count_sources(row) + 1)]


def list_utterances(rows: list[dict[str, str]]) -> list[Recording]:
    """The utterances that a list names, each once, for dynamic mixing; sorted by path."""
    found = {}
    for row in rows:
        for k in range(1, count_sources(row) + 1):
            path = row[f"source_{k}_path"]
            speaker, sex = row[f"speaker_{k}_ID"], row[f"speaker_{k}_sex"]
            found[path] = Recording(speaker, sex, path, Path(path).stem, "first", "", "train")
    return [found[path] for path in sorted(found)]


def keep_subsets(recordings: list[Recording], name: str, train: str) -> list[Recording]:
    """Of a corpus with subsets, those that the recipe's training and test lists stand for.

    All, where the corpus has no subsets, or none of those.
    """
    if name == "none" or not any(row.subset for row in recordings):
        return recordings
    module = import_lists(name)
    wanted = {module.SUBSETS[published] for published in module.name_lists(train).values()}
    return [row for row in recordings if row.subset in wanted] or recordings


def describe(rows: list[dict[str, str]]) -> str:
    """Counts of a list in a few words."""
    speakers = Counter(speaker for row in rows for speaker in _list_speakers(row))
    return f"{len(rows)} mixtures of {len(speakers)} speakers"
