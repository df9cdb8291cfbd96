"""LibriSpeech (OpenSLR 12): ``DIR/<subset>/<speaker>/<chapter>/<utterance>.flac``."""

import os
from pathlib import Path

from separation.corpora.plugin import Recording
from separation.errors import MissingInputError, UserError

SUBSETS = (
    *("train-clean-100", "train-clean-360", "train-other-500"),
    *("dev-clean", "dev-other", "test-clean", "test-other"),
)


def list_recordings(root: Path) -> list[Recording]:
    """List the FLAC files of every subset under ``root``, sorted by path.

    Raises:
        MissingInputError: no such folder, no SPEAKERS.TXT, or no subset in it.
    """
    if not root.is_dir():
        raise MissingInputError(f"--corpus librispeech={root}: no such folder; check the path.")
    subsets = [name for name in SUBSETS if (root / name).is_dir()]
    if not subsets:
        raise MissingInputError(
            f"--corpus librispeech={root}: holds none of {', '.join(SUBSETS)}; give the folder "
            "that LibriSpeech's archives unpack to."
        )
    sexes = read_sexes(root / "SPEAKERS.TXT")
    return [row for subset in subsets for row in _list_subset(root, subset, sexes)]


def _list_subset(root: Path, subset: str, sexes: dict[str, str]) -> list[Recording]:
    found = []
    for folder, _, names in os.walk(root / subset):
        transcripts = _read_transcripts(Path(folder), names)
        relative = Path(folder).relative_to(root).as_posix()
        for stem in (name.removesuffix(".flac") for name in names if name.endswith(".flac")):
            speaker, path = stem.split("-")[0], f"{relative}/{stem}.flac"
            if speaker not in sexes:
                raise UserError(f"{path}: speaker {speaker} is not in {root / 'SPEAKERS.TXT'}.")
            words = transcripts.get(stem, "")
            found.append(Recording(speaker, sexes[speaker], path, stem, "", words, subset))
    return sorted(found, key=lambda row: row.path)


def _read_transcripts(folder: Path, names: list[str]) -> dict[str, str]:
    """``<speaker>-<chapter>.trans.txt``: an utterance and its words a line."""
    lines = [
        line
        for name in sorted(names)
        if name.endswith(".trans.txt")
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    return dict(line.split(" ", 1) for line in lines if " " in line)


def read_sexes(path: Path) -> dict[str, str]:
    """Sex of every reader from SPEAKERS.TXT; names may hold the separator (reader 60's does)."""
    if not path.is_file():
        raise MissingInputError(f"{path}: not there; it comes with each of LibriSpeech's archives.")
    sexes = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = [field.strip() for field in line.split("|")]
        if not line.startswith(";") and len(fields) >= 3:
            sexes[fields[0]] = fields[1]
    return sexes
