"""What a corpus's own code in local/ tells: which recordings there are, and whose.

Kept free of heavy imports: the stages' done-checks list recordings too.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

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


def list_recordings(source: str, root: Path) -> list[Recording]:
    """Ask ``local/prepare_<source>.py`` for the recordings under ``root``."""
    if not (Path(__file__).parents[1] / "local" / f"prepare_{source}.py").is_file():
        raise UserError(f"corpus.source={source}: there is no local/prepare_{source}.py.")
    return importlib.import_module(f"local.prepare_{source}").list_recordings(root)


def fingerprint_recordings(recordings: list[Recording], root: Path) -> str:
    """Hash of names, speakers and sizes: changes when files come, go or are replaced."""
    lines = [f"{row}\t{Path(root, row.path).stat().st_size}" for row in recordings]
    return hash_text("\n".join(sorted(lines)))
