"""The one way files come from the network: resumed, checked, whole or absent."""

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

import requests
import urllib3
from tqdm import tqdm

from separation.download.partial import Part, choose_mark, is_other_version, tell_version
from separation.errors import UserError
from separation.text import explain_error, find_cause

logger = logging.getLogger(__name__)
CHUNK = 1 << 16  # bytes: the most that a lost connection or a killed process costs
TIMEOUTS_S = (10.0, 60.0)  # to connect, between two reads
ELSEWHERE = "give --data DIR on another disk"


class _CutError(Exception):
    """An attempt failed in a way that the next one may mend."""


TRANSIENT = (_CutError, requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True)
class _Item:
    url: str
    path: Path
    sha256: str = ""
    git_blob: str = ""
    size: int = 0
    tell_fault: Callable[[Path], str] | None = None
    instead: str = "give the corpus with --corpus NAME=DIR"
    elsewhere: str = ELSEWHERE

    @property
    def part(self) -> Part:
        return Part(self.path)

    @property
    def is_known(self) -> bool:
        """Whether the finished file will be told from another; a mirror's ETag may differ then."""
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
        return self.tell_fault(path) if self.tell_fault else ""

    def refuse(self, reason: str, first: str = "") -> UserError:
        """The one sentence for a download that failed; ``first`` is what to try first."""
        fix = f"download it by hand to {self.path}, or {self.instead}"
        return UserError(f"{self.url}: {reason}; {first}{fix}.")


def download(
    url: str,
    path: Path,
    *,
    sha256: str = "",
    git_blob: str = "",
    size: int = 0,
    tell_fault: Callable[[Path], str] | None = None,
    attempts: int = 5,
    pause_s: float = 1.0,
    wait_s: float = 0.0,
    instead: str = _Item.instead,
    elsewhere: str = ELSEWHERE,
) -> Path:
    """Fetch ``url`` to ``path``; a file that is there and right costs no request.

    The bytes grow in ``<path>.part``, which any later call goes on with; ``path`` appears
    whole and checked. Attempt k + 1 follows after ``pause_s * 2**(k - 1)`` seconds. A file of
    which nothing is known beforehand is gone on with only while the server's ETag, date and size
    stay the same, so two versions are never joined.

    Args:
        url: http or https; proxies come from the environment.
        path: the file to write; its folder is made.
        sha256: expected checksum, hex.
        git_blob: expected sha1 of the git blob, hex.
        size: expected bytes, 0 where unknown; decides only where no checksum is given.
        tell_fault: tells from a file's content why it is not what was wanted, or nothing. Where
            it is given, a later call begins anew unless the server tells versions apart.
        attempts: tries in all, for cut connections, 429 and 5xx.
        pause_s: first pause in seconds; it doubles.
        wait_s: how long to wait for another process that downloads the same file.
        instead: what else the user can do, for the sentence of a failure.
        elsewhere: how to choose another disk, likewise.

    Raises:
        UserError: refused by the server, still cut after all attempts, disk full or not to be
            written, wrong bytes, or another process has it.
    """
    item = _Item(url, path, sha256, git_blob, size, tell_fault, instead, elsewhere)
    if _is_there(item):
        return path
    with name_full_disk(path.parent, elsewhere):
        path.parent.mkdir(parents=True, exist_ok=True)
        with item.part.hold(wait_s):
            if not _is_there(item):  # another process may have made it
                _complete(item, attempts, pause_s)
    return path


def _is_there(item: _Item) -> bool:
    if not item.path.is_file():
        return False
    if fault := item.find_fault(item.path):
        logger.warning("%s: %s; downloading it anew", item.path, fault)
    return not fault


def _complete(item: _Item, attempts: int, pause_s: float) -> None:
    part = item.part
    if item.tell_fault and not choose_mark(part.read_version()):
        os.truncate(part.file, 0)  # nothing would tell whether the rest is of the same version
    _fetch(item, attempts, pause_s)
    if fault := item.find_fault(part.file):
        part.remove()
        raise item.refuse(f"{fault}, so it was removed", "run the same command to try again, ")
    part.finish()


def _fetch(item: _Item, attempts: int, pause_s: float) -> None:
    for attempt in range(attempts):
        try:
            _attempt(item)
            return
        except TRANSIENT as error:
            reason = explain_error(find_cause(error))
        except requests.RequestException as error:
            raise item.refuse(str(error)) from error
        if attempt + 1 < attempts:
            wait_s = pause_s * 2**attempt
            logger.warning("%s: %s; trying again in %.3g s", item.url, reason, wait_s)
            time.sleep(wait_s)
    raise item.refuse(f"{reason} (attempt {attempts})", "run the same command to go on, ")


def _attempt(item: _Item) -> None:
    have = item.part.size
    if have and have == item.size:
        return
    # The bytes of the file itself: compressed on the way, lengths and ranges would mean others.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    if have and not item.is_known and (mark := choose_mark(item.part.read_version())):
        headers["If-Range"] = mark  # of another version the server sends all, from its start
    with requests.get(item.url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
        _check_status(response, item, have)
        start, total = _read_extent(response, item, have)
        if response.status_code != 416:
            check_space(item.path.parent, round(1.05 * max(0, total - start)), item.elsewhere)
            if not start:
                item.part.begin(tell_version(response.headers, total))
            _write_body(response, item, start, total)


def _check_status(response: requests.Response, item: _Item, have: int) -> None:
    status = response.status_code
    if status in (200, 206) or (status == 416 and have):
        return
    reason = f"the server answered {status} {response.reason}"
    raise _CutError(reason) if status >= 500 or status == 429 else item.refuse(reason)


def _read_extent(response: requests.Response, item: _Item, have: int) -> tuple[int, int]:
    """Where the body starts in the file, and the file's size (0: not told), in bytes."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+)?", response.headers.get("Content-Range", ""))
    start, told = found.groups() if found else (None, None)
    whole = response.status_code == 200
    if whole:
        told = response.headers.get("Content-Length")
    total = int(told or item.size)
    if item.size and total != item.size:  # a login page, say: it must not cost us the part
        raise item.refuse(f"the server offers {total} bytes in place of {item.size}")
    # 416 tells no start: nothing comes after the total.
    first = 0 if whole else int(start or total)
    if not whole and first != have:
        item.part.begin({})
        raise _CutError("the server does not go on where the part ends, so it starts over")
    if not whole and not item.is_known and _has_changed(response, item, total):
        item.part.begin({})
        raise _CutError("the file has changed on the server, so it starts over")
    return first, total


def _has_changed(response: requests.Response, item: _Item, total: int) -> bool:
    """Of a server that does not mind If-Range."""
    return is_other_version(item.part.read_version(), tell_version(response.headers, total))


def _write_body(response: requests.Response, item: _Item, start: int, total: int) -> None:
    bar = show_bytes(f"download {item.path.name}", total, start)
    with open(item.part.file, "ab" if start else "wb") as handle, bar:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            handle.write(chunk)
            bar.update(len(chunk))
        handle.flush()
        os.fsync(handle.fileno())
    if (got := item.part.size) < total:
        raise _CutError(f"the connection ended after {got} of {total} bytes")


def show_bytes(label: str, total: int = 0, start: int = 0) -> tqdm:
    """A bar over bytes, on stderr."""
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
