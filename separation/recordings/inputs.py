"""What ``separate`` is given: files and folders, and the channels of them that are separated."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.errors import MissingInputError, UserError
from separation.files import hash_text
from separation.recordings.record import list_written

STREAM = "-"
CHANNELS = ("mean", "first", "each")
MODES = ("auto", "conversation", "overlap")
ADAPT = ("auto", "on", "off")


@dataclass(frozen=True)
class Recording:
    """A recording, and where its tracks lie.

    Attributes:
        path: of the file.
        below: its folder below the folder that was given, which the tracks' folder repeats.
    """

    path: Path
    below: Path = Path()

    def list_names(self, channel: int | None) -> Iterator[str]:
        """Names for its tracks, the plainest first; the last one is no other recording's.

        Args:
            channel: from 1, where each is separated by itself.

        >>> list(Recording(Path("/a/call.mp3")).list_names(2))[:2]
        ['call_ch2', 'call_mp3_ch2']
        """
        end = f"_ch{channel}" if channel else ""
        full = "_".join(self.path.name.rsplit(".", 1))
        yield self.path.stem + end
        yield full + end
        yield f"{full}_{hash_text(str(self.path.resolve()))[:8]}{end}"


def check_channel(text: str) -> str:
    """``mean``, ``first``, ``each``, or a channel's number from 1.

    Raises:
        UserError: it is something else.
    """
    if text not in CHANNELS and not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UserError(f"--channel {text}: choose of mean, first, each, or a number from 1.")
    return text


def check_spoken(text: str) -> str:
    """The code of a language, such as ``es`` or ``zh-TW``; empty: it is not said.

    Raises:
        UserError: it is something else.
    """
    if text and not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*", text):
        raise UserError(f"--spoken {text[:40]}: give the language's code, such as es or zh.")
    return text


def find_recordings(paths: Sequence[Path], out: Path) -> list[Recording]:
    """The files that were named, and all audio of the folders that were, each once.

    What ``separate`` itself has written is no recording of a folder; hidden files are none either.

    Raises:
        MissingInputError: there is no such file or folder.
        UserError: a folder without audio.
    """
    found: dict[Path, Recording] = {}
    for path in paths:
        if not path.exists():
            raise MissingInputError(f"{path}: is not there; check the path.")
        recordings = list_audio(path, out) if path.is_dir() else [Recording(path)]
        if not recordings:
            raise UserError(f"{path}: holds no audio to separate; name files, or another folder.")
        for recording in recordings:
            found.setdefault(recording.path.resolve(), recording)
    return list(found.values())


def list_audio(folder: Path, out: Path) -> list[Recording]:
    """Audio files below a folder, sorted, without those that ``separate`` wrote."""
    # here, as it imports what the options and --help do without
    from separation.audio.files import AUDIO_SUFFIXES, FFMPEG_SUFFIXES

    recordings = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not _is_left_out(here / name, out, folder))
        written = list_written(here)
        for name in sorted(names):
            known = Path(name).suffix.lower() in AUDIO_SUFFIXES | FFMPEG_SUFFIXES
            if known and not name.startswith(".") and name not in written:
                recordings.append(Recording(here / name, here.relative_to(folder)))
    return recordings


def _is_left_out(place: Path, out: Path, folder: Path) -> bool:
    """Whether a folder is hidden, or that of the tracks, which lies within the recordings'."""
    same = place.resolve() == out.resolve() != folder.resolve()
    return same or place.name.startswith(".")
