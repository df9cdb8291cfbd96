"""A partial download: its bytes so far, of which version of the file, and the lock on it."""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from separation.errors import UserError
from separation.files import read_json, write_json

logger = logging.getLogger(__name__)
POLL_S = 0.2


class PartialDownload:
    """The beginning of a file, beside the place where the file will be.

    Attributes:
        file: ``<path>.part``, the bytes that have come.
        note: ``<path>.part.json``, the version of the file that they belong to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.file.stat().st_size if self.file.exists() else 0

    @contextlib.contextmanager
    def lock(self, wait_s: float = 0.0) -> Iterator[None]:
        """Keep other processes from writing it: two would weave their bytes into one file.

        Args:
            wait_s: how long to wait for another process that has it, seconds.

        Raises:
            UserError: another process has it still.
        """
        handle = self._acquire(time.monotonic() + wait_s)
        try:
            yield
        finally:
            if not self.size:
                self.remove()
            os.close(handle)

    def _acquire(self, until_s: float) -> int:
        while True:
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                self._wait(until_s)
                continue
            except OSError as error:  # some network disks know no locks
                logger.warning("%s: cannot be locked (%s)", self.file, error.strerror)
                return handle
            if self._is_file_of(handle):
                return handle
            os.close(handle)  # finished or removed meanwhile: the lock is on another file

    def _wait(self, until_s: float) -> None:
        if time.monotonic() >= until_s:
            raise UserError(
                f"{self.path}: another process is downloading it; wait until it has finished, and "
                "run the same command again."
            )
        time.sleep(POLL_S)

    def _is_file_of(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self.file.stat())
        except FileNotFoundError:
            return False

    def begin(self, version: dict[str, str]) -> None:
        """Forget what has come, and note the version of what comes now."""
        os.truncate(self.file, 0)  # the same file: the lock is on it
        write_json(self.note, version)

    def read_version(self) -> dict[str, str]:
        """What :meth:`begin` noted; empty where nothing is known."""
        version = read_json(self.note)
        return version if isinstance(version, dict) else {}

    def finish(self) -> None:
        """Give the finished file its name."""
        self.file.replace(self.path)
        self.note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove what has come and its note."""
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def parse_version(headers: Mapping[str, str], n_bytes: int) -> dict[str, str]:
    """What in a server's answer identifies this version of a file: ETag, date, size.

    Args:
        headers: of the answer.
        n_bytes: of the whole file, 0 where the server does not say.
    """
    known = {
        "etag": headers.get("ETag", ""),
        "modified": headers.get("Last-Modified", ""),
        "n_bytes": str(n_bytes or ""),
    }
    return {key: value for key, value in known.items() if value}


def choose_validator(version: dict[str, str]) -> str:
    """The validator that If-Range may hold: a strong ETag, else the date (RFC 9110, 13.1.5).

    >>> choose_validator({"etag": 'W/"1"', "modified": "Wed, 25 Nov 2026 16:00:00 GMT"})
    'Wed, 25 Nov 2026 16:00:00 GMT'
    """
    etag = version.get("etag", "")
    return etag if etag and not etag.startswith("W/") else version.get("modified", "")


def is_other_version(version: dict[str, str], other: dict[str, str]) -> bool:
    """Whether two versions differ in what is known of both.

    >>> is_other_version({"etag": "1", "n_bytes": "5"}, {"n_bytes": "5"})
    False
    """
    return any(other.get(key, value) != value for key, value in version.items())
