"""The one way files come from the network: resumed, checked, whole or absent; unpacking too."""

import contextlib
import errno
import gzip
import hashlib
import logging
import os
import re
import shutil
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests
import urllib3
from tqdm import tqdm

from separation.errors import MissingInputError, UserError

logger = logging.getLogger(__name__)
CHUNK = 1 << 16  # bytes: the most that a lost connection or a killed process costs
TIMEOUTS_S = (10.0, 60.0)  # to connect, between two reads
ELSEWHERE = "give --data DIR on another disk"
UNPACKED_PER_PACKED = 1.3  # bytes a .tar.gz of FLAC takes unpacked, with room to spare


class _CutError(Exception):
    """An attempt failed in a way that the next one may mend."""


TRANSIENT = (_CutError, requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
CORRUPT = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


@dataclass(frozen=True)
class _Item:
    url: str
    path: Path
    size: int
    instead: str = "give the corpus with --corpus NAME=DIR"
    elsewhere: str = ELSEWHERE

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

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
    attempts: int = 5,
    pause_s: float = 1.0,
    instead: str = _Item.instead,
    elsewhere: str = ELSEWHERE,
) -> Path:
    """Fetch ``url`` to ``path``; a file that is there and right costs no request.

    The bytes grow in ``<path>.part``, which any later call goes on with; ``path`` appears
    whole and checked. Attempt k + 1 follows after ``pause_s * 2**(k - 1)`` seconds.

    Args:
        url: http or https; proxies come from the environment.
        path: the file to write; its folder is made.
        sha256: expected checksum, hex.
        git_blob: expected sha1 of the git blob, hex.
        size: expected bytes, 0 where unknown; decides only where no checksum is given.
        attempts: tries in all, for cut connections, 429 and 5xx.
        pause_s: first pause in seconds; it doubles.
        instead: what else the user can do, for the sentence of a failure.
        elsewhere: how to choose another disk, likewise.

    Raises:
        UserError: refused by the server, still cut after all attempts, disk full, wrong bytes.
    """
    item = _Item(url, path, size, instead, elsewhere)
    if path.is_file():
        if not (fault := _find_fault(path, sha256, git_blob, size)):
            return path
        logger.warning("%s: %s; downloading it anew", path, fault)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _name_full_disk(path.parent, elsewhere):
        _fetch(item, attempts, pause_s)
    if fault := _find_fault(item.part, sha256, git_blob, size):
        item.part.unlink()
        raise item.refuse(f"{fault}, so it was removed", "run the same command to try again, ")
    item.part.replace(path)
    return path


def _fetch(item: _Item, attempts: int, pause_s: float) -> None:
    for attempt in range(attempts):
        try:
            _attempt(item)
            return
        except TRANSIENT as error:
            reason = _find_cause(error)
        except requests.RequestException as error:
            raise item.refuse(str(error)) from error
        if attempt + 1 < attempts:
            wait_s = pause_s * 2**attempt
            logger.warning("%s: %s; trying again in %.3g s", item.url, reason, wait_s)
            time.sleep(wait_s)
    raise item.refuse(f"{reason} (attempt {attempts})", "run the same command to go on, ")


def _find_cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def _attempt(item: _Item) -> None:
    have = item.part.stat().st_size if item.part.exists() else 0
    if have and have == item.size:
        return
    # The bytes of the file itself: compressed on the way, lengths and ranges would mean others.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(item.url, headers=headers, stream=True, timeout=TIMEOUTS_S) as response:
        _check_status(response, item, have)
        start, total = _read_extent(response, item, have)
        if response.status_code != 416:
            check_space(item.path.parent, round(1.05 * max(0, total - start)), item.elsewhere)
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
        item.part.unlink(missing_ok=True)
        raise _CutError("the server does not go on where the part ends, so it starts over")
    return first, total


def _write_body(response: requests.Response, item: _Item, start: int, total: int) -> None:
    bar = _show_bytes(f"download {item.path.name}", total, start)
    with open(item.part, "ab" if start else "wb") as handle, bar:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            handle.write(chunk)
            bar.update(len(chunk))
        handle.flush()
        os.fsync(handle.fileno())
    if (got := item.part.stat().st_size) < total:
        raise _CutError(f"the connection ended after {got} of {total} bytes")


def _show_bytes(label: str, total: int = 0, start: int = 0) -> tqdm:
    pause_s = 0.5 if sys.stderr.isatty() else 30.0  # a log needs few lines
    bar = {"total": total or None, "initial": start, "unit": "B", "unit_scale": True}
    return tqdm(desc=label, mininterval=pause_s, **bar)


def _find_fault(path: Path, sha256: str, git_blob: str, size: int) -> str:
    n_bytes = path.stat().st_size
    if sha256 and (got := _hash_file(path, hashlib.sha256())) != sha256:
        return f"sha256 {sha256} expected, got {got}"
    if git_blob and (got := hash_git_blob(path)) != git_blob:
        return f"git blob {git_blob} expected, got {got}"
    if size and n_bytes != size and not (sha256 or git_blob):
        return f"{size} bytes expected, got {n_bytes}"
    return ""


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
def _name_full_disk(folder: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        fix = f"make room and run the same command to go on, or {elsewhere}"
        raise UserError(f"{folder}: the disk is full; {fix}.") from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``archive`` into ``folder``, where its members appear whole.

    They are first laid into ``.<archive>.unpacking``; of a top folder that is there already
    the children are moved one by one and take the place of those of the same name.

    Raises:
        UserError: not .tar.gz, .tgz or .zip; corrupt; a member outside ``folder``; disk full.
        MissingInputError: the archive is not there.
    """
    extract = _extract_zip if archive.suffix == ".zip" else _extract_tar
    if not archive.name.endswith((".tar.gz", ".tgz", ".zip")):
        raise UserError(f"{archive}: only .tar.gz, .tgz and .zip are unpacked; unpack it by hand.")
    if not archive.is_file():
        raise MissingInputError(f"{archive}: no such archive; download it first.")
    work = folder / f".{archive.name}.unpacking"
    shutil.rmtree(work, ignore_errors=True)  # left by a run that was killed
    work.mkdir(parents=True)
    try:
        with _name_full_disk(folder):
            extract(archive, work)
            _move_members(work, folder)
    except tarfile.FilterError as error:
        raise UserError(f"{archive}: {error}; it is refused, get it from its source.") from error
    except CORRUPT as error:
        fix = "remove it and run the same command to download it anew"
        raise UserError(f"{archive}: not a whole archive ({error}); {fix}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract_tar(archive: Path, work: Path) -> None:
    size = archive.stat().st_size
    check_space(work, round(UNPACKED_PER_PACKED * size))
    bar = _show_bytes(f"unpack {archive.name}", size)
    with bar, open(archive, "rb") as packed, gzip.open(packed) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as members:
            for member in members:
                members.extract(member, work, filter="data")
                bar.update(packed.tell() - bar.n)
        # tarfile takes a broken header for the end; gzip checks its sum at the very end.
        while stream.read(CHUNK):
            pass


def _extract_zip(archive: Path, work: Path) -> None:
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise UserError(f"{archive}: {name} lies outside; it is refused.")
        total = sum(member.file_size for member in members.infolist())
        check_space(work, total)
        with _show_bytes(f"unpack {archive.name}", total) as bar:
            for member in members.infolist():
                members.extract(member, work)
                bar.update(member.file_size)


def _move_members(work: Path, folder: Path) -> None:
    for top in sorted(work.iterdir()):
        target = folder / top.name
        if not (top.is_dir() and target.is_dir()):
            top.replace(target)
            continue
        # Files first: where a subset's folder is, the texts that belong to it are too.
        for child in sorted(top.iterdir(), key=lambda child: (child.is_dir(), child.name)):
            if (target / child.name).is_dir():
                (target / child.name).replace(child.with_name(f".{child.name}.replaced"))
            child.replace(target / child.name)
