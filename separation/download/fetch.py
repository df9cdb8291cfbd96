"""Downloads over HTTP: resumed, checked, whole or absent.

Imports of a corpus's file in ``local/`` lead here, those of done-checks too: requests comes late.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from separation.download.partial import (
    PartialDownload,
    choose_validator,
    is_other_version,
    parse_version,
)
from separation.errors import UserError
from separation.text import explain_error, find_cause

if TYPE_CHECKING:
    import requests
    from tqdm import tqdm

logger = logging.getLogger(__name__)
CHUNK = 1 << 16  # bytes: the most that a lost connection or a killed process costs
TIMEOUTS_S = (10.0, 60.0)  # to connect, between two reads
ELSEWHERE = "give --data DIR on another disk"


UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class _TransientError(Exception):
    """An attempt failed in a way in which the next one may not."""


@dataclass(frozen=True, kw_only=True)
class _Download:
    """One file to fetch, with what is known of it; the arguments of :func:`download_file`."""

    url: str
    path: Path
    sha256: str = ""
    git_blob: str = ""
    size: int = 0
    describe_fault: Callable[[Path], str] | None = None
    instead: str = "give the corpus with --corpus NAME=DIR"
    elsewhere: str = ELSEWHERE

    @property
    def partial(self) -> PartialDownload:
        return PartialDownload(self.path)

    @property
    def is_known(self) -> bool:
        """Whether another file would be recognised in the end; a mirror's ETag may differ then."""
        return bool(self.sha256 or self.git_blob or self.size)

    def find_fault(self, path: Path) -> str:
        """What is wrong with the bytes of a file; empty where nothing is."""
        n_bytes = path.stat().st_size
        if self.sha256 and (got := _hash_file(path, hashlib.sha256())) != self.sha256:
            return f"sha256 {self.sha256} expected, got {got}"
        if self.git_blob and (got := hash_git_blob(path)) != self.git_blob:
            return f"git blob {self.git_blob} expected, got {got}"
        if self.size and n_bytes != self.size and not (self.sha256 or self.git_blob):
            return f"{self.size} bytes expected, got {n_bytes}"
        return self.describe_fault(path) if self.describe_fault else ""

    def refuse(self, reason: str, first: str = "") -> UserError:
        """The one sentence for a download that failed; ``first`` is what to try first."""
        fix = f"download it by hand to {self.path}, or {self.instead}"
        return UserError(f"{self.url}: {reason}; {first}{fix}.")


def download_file(
    url: str,
    path: Path,
    *,
    sha256: str = "",
    git_blob: str = "",
    size: int = 0,
    describe_fault: Callable[[Path], str] | None = None,
    attempts: int = 5,
    pause_s: float = 1.0,
    wait_s: float = 0.0,
    instead: str = _Download.instead,
    elsewhere: str = ELSEWHERE,
) -> Path:
    """Fetch ``url`` to ``path``; a file that is there and right costs no request.

    The bytes grow in ``<path>.part``, which any later call goes on with; ``path`` appears
    whole and checked. A file of which nothing is known beforehand is gone on with only while the
    server's ETag, date and size stay the same, so two versions are never joined.

    Args:
        url: http or https; proxies come from the environment.
        path: the file to write; its folder is made.
        sha256: expected checksum, hex.
        git_blob: expected sha1 of the git blob, hex.
        size: expected bytes, 0 where unknown; decides only where no checksum is given.
        describe_fault: says from a file's content why it is not what was wanted, or nothing.
            Where it is given, a later call begins anew unless the server names versions.
        attempts: tries in all, for cut connections, 429 and 5xx.
        pause_s: between the first two attempts, in seconds; it doubles.
        wait_s: how long to wait for another process that downloads the same file.
        instead: what else the user can do, for the sentence of a failure.
        elsewhere: how to choose another disk, likewise.

    Raises:
        UserError: refused, still cut, disk full or read-only, wrong bytes, another process has it.
    """
    wanted = _Download(
        url=url,
        path=path,
        sha256=sha256,
        git_blob=git_blob,
        size=size,
        describe_fault=describe_fault,
        instead=instead,
        elsewhere=elsewhere,
    )
    if not _is_there(wanted):
        _lock_and_complete(wanted, attempts, pause_s, wait_s)
    return path


def _lock_and_complete(wanted: _Download, attempts: int, pause_s: float, wait_s: float) -> None:
    folder = wanted.path.parent
    with name_full_disk(folder, wanted.elsewhere):
        folder.mkdir(parents=True, exist_ok=True)
        with wanted.partial.lock(wait_s):
            if not _is_there(wanted):  # another process may have made it
                _complete(wanted, attempts, pause_s)


def _is_there(wanted: _Download) -> bool:
    if not wanted.path.is_file():
        return False
    if fault := wanted.find_fault(wanted.path):
        logger.warning("%s: %s; downloading it anew", wanted.path, fault)
    return not fault


def _complete(wanted: _Download, attempts: int, pause_s: float) -> None:
    partial = wanted.partial
    if wanted.describe_fault and not choose_validator(partial.read_version()):
        os.truncate(partial.file, 0)  # nothing would say whether the rest is of the same version
    _fetch(wanted, attempts, pause_s)
    if fault := wanted.find_fault(partial.file):
        partial.remove()
        raise wanted.refuse(f"{fault}, so it was removed", "run the same command to try again, ")
    partial.finish()


def _fetch(wanted: _Download, attempts: int, pause_s: float) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    transient = (_TransientError, requests.ConnectionError, requests.Timeout, HTTPError)
    for attempt in range(attempts):
        try:
            _attempt(wanted)
            return
        except transient as error:
            reason = explain_error(find_cause(error))
        except requests.RequestException as error:
            raise wanted.refuse(str(error)) from error
        if attempt + 1 < attempts:
            wait_s = pause_s * 2**attempt
            logger.warning("%s: %s; trying again in %.3g s", wanted.url, reason, wait_s)
            time.sleep(wait_s)
    raise wanted.refuse(f"{reason} (attempt {attempts})", "run the same command to go on, ")


def _attempt(wanted: _Download) -> None:
    import requests

    have = wanted.partial.size
    if have and have == wanted.size:
        return
    # The bytes of the file itself: compressed on the way, lengths and ranges would mean others.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    version = wanted.partial.read_version()
    if have and not wanted.is_known and (validator := choose_validator(version)):
        headers["If-Range"] = validator  # of another version the server sends all, from its start
    with requests.get(wanted.url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
        _check_status(response, wanted, have)
        start, total = _read_extent(response, wanted, have)
        if response.status_code != 416:
            check_space(wanted.path.parent, round(1.05 * max(0, total - start)), wanted.elsewhere)
            if not start:
                wanted.partial.begin(parse_version(response.headers, total))
            _write_body(response, wanted, start, total)


def _check_status(response: "requests.Response", wanted: _Download, have: int) -> None:
    status = response.status_code
    if status in (200, 206) or (status == 416 and have):
        return
    reason = f"the server answered {status} {response.reason}"
    raise _TransientError(reason) if status >= 500 or status == 429 else wanted.refuse(reason)


def _read_extent(response: "requests.Response", wanted: _Download, have: int) -> tuple[int, int]:
    """Where the body starts in the file, and the file's size (0: not known), in bytes."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+)?", response.headers.get("Content-Range", ""))
    start, length = found.groups() if found else (None, None)
    whole = response.status_code == 200
    if whole:
        length = response.headers.get("Content-Length")
    total = int(length or wanted.size)
    if wanted.size and total != wanted.size:  # a login page, say: it must not cost what has come
        raise wanted.refuse(f"the server offers {total} bytes in place of {wanted.size}")
    # 416 names no start: nothing comes after the total.
    first = 0 if whole else int(start or total)
    if not whole and first != have:
        wanted.partial.begin({})
        raise _TransientError("the server does not go on where the part ends, so it starts over")
    if not whole and not wanted.is_known and _has_changed(response, wanted, total):
        wanted.partial.begin({})
        raise _TransientError("the file has changed on the server, so it starts over")
    return first, total


def _has_changed(response: "requests.Response", wanted: _Download, total: int) -> bool:
    """Of a server that ignores If-Range."""
    return is_other_version(wanted.partial.read_version(), parse_version(response.headers, total))


def _write_body(response: "requests.Response", wanted: _Download, start: int, total: int) -> None:
    bar = show_bytes(f"download {wanted.path.name}", total, start)
    with open(wanted.partial.file, "ab" if start else "wb") as handle, bar:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            handle.write(chunk)
            bar.update(len(chunk))
        handle.flush()
        os.fsync(handle.fileno())
    if (got := wanted.partial.size) < total:
        raise _TransientError(f"the connection ended after {got} of {total} bytes")


def show_bytes(label: str, total: int = 0, start: int = 0) -> "tqdm":
    """A progress bar over bytes, on stderr."""
    from tqdm import tqdm

    pause_s = 0.5 if sys.stderr.isatty() else 30.0  # a log needs few lines
    bar = {"total": total or None, "initial": start, "unit": "B", "unit_scale": True}
    return tqdm(desc=label, mininterval=pause_s, **bar)


def hash_git_blob(path: Path) -> str:
    """The sha1 by which git names the content of ``path``, hex."""
    return _hash_file(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size))


def _hash_file(path: Path, digest) -> str:
    with open(path, "rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def count_remaining(path: Path, size: int) -> int:
    """Bytes of a file of ``size`` bytes that a download to ``path`` has still to fetch."""
    places = [path, PartialDownload(path).file]
    return max(0, size - sum(place.stat().st_size for place in places if place.exists()))


def check_space(folder: Path, needed: int, elsewhere: str = ELSEWHERE) -> None:
    """Check that ``needed`` more bytes fit on the disk of ``folder``.

    Raises:
        UserError: naming the folder, GB free, GB needed and the fix.
    """
    if (free := shutil.disk_usage(folder).free) < needed:
        sizes = f"{free / 1e9:.2f} GB free, {needed / 1e9:.2f} GB needed"
        raise UserError(f"{folder}: {sizes}; make room, or {elsewhere}.")


@contextlib.contextmanager
def name_full_disk(folder: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turn what a disk refuses into one sentence.

    Raises:
        UserError: ``folder`` is full, or cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE:
            reason = f"cannot be written ({error.strerror})"
            raise UserError(f"{folder}: {reason}; change its rights, or {elsewhere}.") from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        fix = f"make room and run the same command to go on, or {elsewhere}"
        raise UserError(f"{folder}: the disk is full; {fix}.") from error
