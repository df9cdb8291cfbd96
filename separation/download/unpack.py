"""Archives into folders, where their members appear whole."""

import gzip
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from separation.download.fetch import CHUNK, check_space, name_full_disk, show_bytes
from separation.errors import MissingInputError, UserError

UNPACKED_PER_PACKED = 1.3  # bytes a .tar.gz of FLAC takes unpacked, with room to spare
CORRUPT = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


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
        with name_full_disk(folder):
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
    bar = show_bytes(f"unpack {archive.name}", size)
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
        with show_bytes(f"unpack {archive.name}", total) as bar:
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
