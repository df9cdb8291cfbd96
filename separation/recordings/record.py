"""NAME.json beside the tracks NAME_s<k>.wav: what was separated, how, and all that was measured.

It says which files this command wrote: only those are ever replaced, and a recording whose record
still fits is not separated again.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.files import hash_file, hold_name, read_json
from separation.safe_paths import find_name_fault

PROGRAM = "separation separate"
VERSION = 2  # counts up when the same recording would be separated otherwise


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A file as it was: its size, time of change, and content where we wrote it.

    Attributes:
        size: bytes.
        changed_ns: time of change.
        sha256: hex; empty: not asked for.
    """

    size: int
    changed_ns: int
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a NAME.json holds.

    Attributes:
        recording: absolute path.
        channel: from 1, where each is separated by itself; 0: see ``settings``.
        stamp: of the recording.
        settings: model's sha256, ``--channel``, ``--bits``, ``--mode`` and ``--adapt``.
        outputs: stamps by the name of the file.
        measured: see :class:`separation.recordings.measured.Measured`.
        program: marks the file as ours.
        version: of the procedure.
    """

    recording: str
    channel: int
    stamp: Stamp
    settings: dict[str, str]
    outputs: dict[str, Stamp]
    measured: dict[str, Any]
    program: str = PROGRAM
    version: int = VERSION

    def fits(self, path: Path, settings: dict[str, str], folder: Path) -> bool:
        """Whether separating again would write what is there."""
        same = self.stamp == stamp_recording(path) and self.settings == settings
        return same and self.version == VERSION and not self.list_changed(folder)

    def list_changed(self, folder: Path) -> list[str]:
        """Outputs that are missing, or that somebody has changed."""
        return [
            name for name, stamp in self.outputs.items() if not is_as_written(folder / name, stamp)
        ]


def stamp_recording(path: Path) -> Stamp:
    """Size and time of a recording, which tell whether it is the one that was separated."""
    status = path.stat()
    return Stamp(size=status.st_size, changed_ns=status.st_mtime_ns)


def stamp_output(path: Path) -> Stamp:
    """Size, time and content of a file that was just written."""
    return dataclasses.replace(stamp_recording(path), sha256=hash_file(path))


def is_as_written(path: Path, stamp: Stamp) -> bool:
    """Whether a file is the one that was stamped; a copy of the folder has other times."""
    if not path.is_file() or path.stat().st_size != stamp.size:
        return False
    return path.stat().st_mtime_ns == stamp.changed_ns or hash_file(path) == stamp.sha256


def read_record(path: Path) -> Record | None:
    """The record in a file; None where there is none, such as in somebody else's JSON."""
    try:
        values = read_json(path)
    except (OSError, UnicodeDecodeError):
        return None
    if not isinstance(values, dict) or values.get("program") != PROGRAM:
        return None
    try:
        outputs = {name: Stamp(**stamp) for name, stamp in values["outputs"].items()}
        if any("/" in name or find_name_fault(name) for name in outputs):  # would act elsewhere
            return None
        return Record(**values | {"stamp": Stamp(**values["stamp"]), "outputs": outputs})
    except (KeyError, TypeError, AttributeError):
        return None


def format_record(record: Record) -> str:
    """The text of NAME.json."""
    return json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False) + "\n"


def list_written(folder: Path) -> set[str]:
    """Names of the tracks in a folder that ``separate`` wrote, from their records."""
    records = (read_record(path) for path in folder.glob("*.json") if path.is_file())
    return {name for record in records if record for name in record.outputs}


@contextlib.contextmanager
def hold_free_name(
    folder: Path, names: Iterable[str], recording: Path, channel: int
) -> Iterator[str]:
    """The first name under which a recording's tracks replace nothing but its own earlier ones.

    No other process takes it, or one before it, meanwhile: of two calls for one recording, or for
    two of the same name, the second waits.

    Args:
        folder: of the tracks.
        names: candidates.
        recording: its path.
        channel: from 1, or 0.

    Yields:
        the name; empty where every one is taken.
    """
    owner = (str(recording.resolve()), channel)
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(hold_name(folder, name))
            if _is_free(folder, name, owner):
                yield name
                return
        yield ""


def _is_free(folder: Path, name: str, owner: tuple[str, int]) -> bool:
    place = folder / f"{name}.json"
    record = read_record(place)
    if record is None and (place.exists() or place.is_symlink()):
        return False
    if record is not None and (record.recording, record.channel) != owner:
        return False
    outputs = record.outputs if record else {}
    return all(
        path.name in outputs and is_as_written(path, outputs[path.name])
        for path in list_tracks(folder, name)
    )


def list_tracks(folder: Path, name: str) -> list[Path]:
    """Files that lie where the tracks of a name would."""
    pattern = re.compile(re.escape(name) + r"(_s\d+\.wav|\.rttm)", re.IGNORECASE)
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if pattern.fullmatch(path.name)]
