"""Archives into folders, where their members appear whole."""

import errno
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from separation.download.fetch import CHUNK, check_space, name_full_disk, show_bytes
from separation.errors import MissingInputError, UserError
from separation.safe_paths import find_name_fault, shorten_name

UNPACKED_PER_PACKED = 1.3  # bytes a .tar.gz of FLAC takes unpacked, with room to spare
LARGEST_RATIO = 20  # of unpacked to packed bytes; audio does not reach 3, lists of names 10
ALWAYS_UNPACKED = 16 << 20  # bytes, of any archive
LONGEST_READ = 1 << 20  # bytes; tarfile reads files in pieces and only headers at once
CORRUPT = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, ValueError, OverflowError, RuntimeError),  # of ZIP: encrypted, of unknown methods
)

CORRUPT_CODES = (None, errno.EINVAL)  # of gzip's own errors; of a place before a file's start


def unpack(archive: Path, folder: Path) -> None:
    """Unpack ``archive`` into ``folder``, where its members appear whole.

    They are first laid into ``.<archive>.unpacking``; of a top folder that is there already
    the children are moved one by one and take the place of those of the same name.

    Raises:
        UserError: not .tar.gz, .tgz or .zip; corrupt; disk full; a member outside ``folder``, a
            link or a device; more than :data:`LARGEST_RATIO` times its size.
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
        with name_full_disk(folder):
            extract(archive, work)
            _move_members(work, folder)
    except UserError:
        raise
    except (*CORRUPT, OSError) as error:
        if isinstance(error, OSError) and error.errno not in CORRUPT_CODES:
            raise
        fix = "remove it and run the same command to download it anew"
        raise UserError(f"{archive}: not a whole archive ({error}); {fix}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _BoundedGzip(gzip.GzipFile):
    """What tarfile reads: a header that states gigabytes is not read into memory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _extract_tar(archive: Path, work: Path) -> None:
    size = archive.stat().st_size
    check_space(work, round(UNPACKED_PER_PACKED * size))
    bar = show_bytes(f"unpack {archive.name}", size)
    with bar, open(archive, "rb") as packed, _BoundedGzip(fileobj=packed) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as members:
            total = 0
            for member in members:
                if not (member.isfile() or member.isdir()):
                    raise _refuse(archive, member.name, "is a link or a device")
                total += member.size
                _check_member(archive, member.name, max(total, stream.tell()))
                members.extract(member, work, filter="data")
                bar.update(packed.tell() - bar.n)
        # tarfile takes a broken header for the end; gzip checks its sum at the very end.
        while stream.read(CHUNK):
            pass


def _extract_zip(archive: Path, work: Path) -> None:
    with zipfile.ZipFile(archive) as members:
        total = sum(member.file_size for member in members.infolist())
        for name in members.namelist():
            _check_member(archive, name, total)
        check_space(work, total)
        with show_bytes(f"unpack {archive.name}", total) as bar:
            for member in members.infolist():
                members.extract(member, work)
                bar.update(member.file_size)


def _check_member(archive: Path, name: str, n_bytes: int) -> None:
    """Refuse a name that leaves its folder, and more bytes than an honest archive unpacks to."""
    plain = str(PurePosixPath(name))
    if plain != "." and (fault := find_name_fault(plain)):
        raise _refuse(archive, name, fault)
    packed = archive.stat().st_size
    if n_bytes > LARGEST_RATIO * packed + ALWAYS_UNPACKED:
        raise UserError(
            f"{archive}: unpacks to more than {LARGEST_RATIO} times its {packed} bytes; it is "
            "refused, get it from its source."
        )


def _refuse(archive: Path, name: str, fault: str) -> UserError:
    return UserError(
        f"{archive}: {shorten_name(name)} {fault}; it is refused, get it from its source."
    )


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
