"""Files that are either whole or absent."""

import contextlib
import csv
import fcntl
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from separation.errors import UserError

ALIKE = {  # suffixes under which the samples of a recording may lie, the likeliest first
    ".flac": (".FLAC", ".wav", ".WAV"),
    ".wav": (".WAV", ".flac", ".FLAC"),
}


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success.

    A process killed in between leaves ``path`` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(folder: Path, advice: str) -> None:
    """Make a folder and try to write into it, before hours of work whose result could not be kept.

    Args:
        folder: made if absent.
        advice: ends the sentence.

    Raises:
        UserError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"  # its own: two calls may look at one folder
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); {advice}.") from error


@contextlib.contextmanager
def hold_folder(folder: Path, name: str) -> Iterator[bool]:
    """Let one process at a time work in a folder; others wait, and say so.

    The lock goes with the process, however it ends; a file system without locks is taken as it is.

    Args:
        folder: made if absent.
        name: of the work, for the lock's file and the line.

    Yields:
        whether another process worked there meanwhile, which may have done what is to be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{name}.lock", "a", encoding="utf-8") as handle:
        yield _wait_for_lock(handle, f"{folder}: another process works there ({name}); waiting")


@contextlib.contextmanager
def hold_name(folder: Path, name: str) -> Iterator[None]:
    """Let one process at a time make the files of a name; others wait, and say so.

    As :func:`hold_folder`, for a folder in which many names are made side by side; the lock's file
    goes with the work.

    Args:
        folder: made if absent.
        name: of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.lock"
    with contextlib.ExitStack() as stack:
        while True:
            handle = stack.enter_context(open(path, "a", encoding="utf-8"))
            _wait_for_lock(handle, f"{folder}: another process makes {name}; waiting")
            if _is_file_of(handle, path):
                break
            handle.close()  # the one that was waited for has removed it: that lock holds nobody
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _wait_for_lock(handle: TextIO, line: str) -> bool:
    """Lock an open file, and say a line where another process holds it; whether one did."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        print(line, file=sys.stderr)
        fcntl.lockf(handle, fcntl.LOCK_EX)
        return True
    except OSError:
        pass
    return False


def is_locked(path: Path) -> bool:
    """Whether another process holds a lock's file; not where there is none, or no locks."""
    try:
        handle = open(path, "r+", encoding="utf-8")  # noqa: SIM115 closed below
    except OSError:
        return False
    with handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
        except OSError:
            return False
    return False


def _is_file_of(handle: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole or not at all."""
    with write_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=True) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; ``None`` where it is absent or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def format_rows(rows: list[dict[str, Any]], columns: list[str] | None = None) -> str:
    """Rows as CSV text with ``\\n`` line ends, the canonical text of our tables."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV table as one dict a row; Excel's mark at the start is no part of it.

    Raises:
        UserError: it is no UTF-8, or no CSV.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            return list(csv.DictReader(handle))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a CSV table ({error}); make it again.") from error


def stamp_file(path: Path) -> list[Any]:
    """A file's path, size and time of change; None in place of both where it is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: of a null byte
        return [str(path), None]
    return [str(path), status.st_size, status.st_mtime_ns]


def locate_recording(path: Path) -> Path:
    """The file itself; where it is not there, one of the same name as WAV or FLAC, in any case.

    Both hold the same samples, so a list that names FLAC serves a corpus that was converted.
    """
    if path.suffix in ALIKE and not path.is_file():
        copies = (path.with_suffix(suffix) for suffix in ALIKE[path.suffix])
        return next((copy for copy in copies if copy.is_file()), path)
    return path


def list_named(paths: Iterable[Path], suffix: str) -> list[Path]:
    """Of paths the recordings, sorted, under the names that a corpus's own lists give them.

    :func:`locate_recording` has the files, whose suffix may be in another case, or FLAC's.

    >>> [str(path) for path in list_named([Path("b.WAV"), Path("a.flac"), Path("a.txt")], ".wav")]
    ['a.wav', 'b.wav']
    """
    kinds = (suffix, *ALIKE[suffix])
    return sorted({path.with_suffix(suffix) for path in paths if path.suffix in kinds})


def hash_text(text: str) -> str:
    """First 16 hex digits of the sha256 of ``text``: our fingerprint."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def hash_value(value: Any) -> str:
    """Fingerprint of any JSON value, independent of key order."""
    return hash_text(json.dumps(value, sort_keys=True))


def hash_text_file(path: Path) -> str:
    """Fingerprint of a table on disk."""
    return hash_text(path.read_text(encoding="utf-8"))


def hash_file(path: Path) -> str:
    """sha256 of a file, hex; read in pieces, whatever its size."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint_file(path: Path) -> str:
    """First 16 hex digits of a file's sha256; empty where there is no file."""
    return hash_file(path)[:16] if path.is_file() else ""
