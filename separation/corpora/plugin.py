"""What a corpus's own code in local/ tells: which recordings there are, and whose.

Kept free of heavy imports: the stages' done-checks list recordings too.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from separation.errors import UserError
from separation.files import hash_text


@dataclass(frozen=True)
class Recording:
    """What a corpus's own code (local/) knows of one file."""

    speaker: str
    sex: str  # F, M or empty where unknown
    path: str  # relative to the corpus root
    prompt: str  # the same text in the same voice has the same prompt name
    channel: str = ""  # overrides corpus.channel where the corpus itself is known
    transcript: str = ""
    subset: str = ""  # the corpus's own division, such as train-clean-100
    age: str = ""  # in the corpus's own terms: years, or a group
    accent: str = ""
    utterance: str = ""  # the corpus's own name of it, where it has one


def import_source(source: str) -> ModuleType:
    """``local/prepare_<source>.py``.

    Raises:
        UserError: there is no such file.
    """
    if not _path_of(source).is_file():
        raise UserError(f"corpus.source={source}: there is no local/prepare_{source}.py.")
    return importlib.import_module(f"local.prepare_{source}")


def _path_of(source: str) -> Path:
    return Path(__file__).parents[2] / "local" / f"prepare_{source}.py"


@dataclass(frozen=True)
class CorpusCheck:
    """How a corpus on disk compares with what it should hold.

    Attributes:
        faults: files that its own lists name and that are absent, or the other way round.
        remarks: what a user should know, such as counts that differ from the published ones.
    """

    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_corpus(source: str, root: Path, recordings: list[Recording]) -> CorpusCheck:
    """Ask ``local/prepare_<source>.py`` whether the corpus is whole; empty where it cannot tell."""
    module = import_source(source)
    if hasattr(module, "check_corpus"):
        return module.check_corpus(root, recordings)
    return CorpusCheck()


def find_root(source: str, root: Path) -> Path:
    """The folder that paths of a corpus's recordings are relative to: mostly ``root`` itself."""
    if not _path_of(source).is_file():  # wsj0 has published lists only
        return root
    module = import_source(source)
    return module.find_root(root) if hasattr(module, "find_root") else root


def list_recordings(source: str, root: Path) -> list[Recording]:
    """Ask ``local/prepare_<source>.py`` for the recordings under ``root``."""
    return import_source(source).list_recordings(root)


def fingerprint_recordings(recordings: list[Recording], root: Path) -> str:
    """Hash of names, speakers and sizes: changes when files come, go or are replaced."""
    lines = [f"{row}\t{Path(root, row.path).stat().st_size}" for row in recordings]
    return hash_text("\n".join(sorted(lines)))


OTHER_ROOTS = ("wham", "noise", "wsj0mix")


SOURCES = ("aishell3", "librispeech", "speech")
