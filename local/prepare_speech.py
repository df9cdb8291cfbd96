"""Any folder of recordings with one sub-folder a speaker: ``DIR/<speaker>/**/<file>``.

A sub-folder name may end in ``_F`` or ``_M`` to tell the speaker's sex.
"""

from pathlib import Path

import soundfile

from separation.errors import MissingInputError, UserError
from separation.recordings import Recording

SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".g722",
    ".gsm",
    ".opus",
    ".oga",
    ".aif",
    ".aiff",
}


def list_recordings(root: Path) -> list[Recording]:
    """List the recordings of every speaker under ``root``, sorted by path.

    Raises:
        MissingInputError: no such folder.
        UserError: the folder holds no sub-folder with audio in it.
    """
    if not root.is_dir():
        raise MissingInputError(f"--corpus speech={root}: no such folder; check the path.")
    found = [
        Recording(
            folder.name, _tell_sex(folder.name), str(path.relative_to(root)), path.stem.lower()
        )
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if not found:
        raise UserError(
            f"--corpus speech={root}: is empty; it should hold one sub-folder per speaker with "
            "audio files (WAV, FLAC, Ogg, ...) in it."
        )
    return found


def _tell_sex(name: str) -> str:
    return name[-1] if name[-2:] in ("_F", "_M") else ""
