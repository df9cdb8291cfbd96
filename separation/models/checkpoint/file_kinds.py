"""What a file is that was taken for a checkpoint; nothing of it is unpickled. Light imports."""

import zipfile
import zlib
from pathlib import Path

STARTS = (b"PK", b"\x80")  # a zip archive of torch.save's, a pickle of before torch 1.6
PAGES = (b"<!doctype", b"<html", b"<?xml")
UNPACKED_PER_PACKED, SMALL_BYTES = 20, 1 << 24  # torch.save packs nothing, and zip bombs a lot
BAD_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def describe_wrong_kind(path: Path) -> tuple[str, str] | None:
    """What a file is that no ``torch.save`` wrote, and what to do; None where it may be one."""
    size, start = path.stat().st_size, read_start(path)
    again = f"delete {path} and get it again"
    if not size:
        return "an empty file", again
    if start.startswith(b"version https://git-lfs"):
        return (
            "the pointer text of git-lfs",
            "run `git lfs pull` in its folder, or give its Hub name",
        )
    if start.lstrip().lower().startswith(PAGES):
        return "a web page saved under its name, an error or a login", again
    if start[8:9] == b"{" and b'"dtype"' in start:
        return (
            "a safetensors file, which holds no architecture",
            "give the .pth or .bin beside it",
        )
    if start.startswith(b"PK") and not _is_zip(path):
        return f"the beginning of one ({size} bytes, the end is missing)", again
    if start.startswith(b"PK") and (fault := _find_zip_fault(path)):
        return fault, again
    if start.startswith(b"PK") and _holds_code(path):
        return (
            "a TorchScript archive, which is a program",
            "give the checkpoint that it was exported from, or that as ONNX (`export`)",
        )
    return None


def _is_zip(path: Path) -> bool:
    """Whether an archive has its end, which is read first; a damaged one is looked at further."""
    try:
        return zipfile.is_zipfile(path)
    except BAD_ZIP:  # Python's own answer to an end that speaks of several disks
        return True


def _holds_code(path: Path) -> bool:
    """Whether a zip archive is one of ``torch.jit.save``'s."""
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _find_zip_fault(path: Path) -> str:
    """What is wrong with the archive that torch.save wrote: torch itself checks no sums."""
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(member.file_size for member in archive.infolist())
            if n_bytes > max(SMALL_BYTES, UNPACKED_PER_PACKED * path.stat().st_size):
                return f"an archive that unpacks to {n_bytes / 1e9:.2f} GB"
            if damaged := archive.testzip():
                return f"a damaged one (the checksum of {damaged} is wrong)"
    except (*BAD_ZIP, OSError) as error:
        return f"a damaged one ({str(error)[:80] or type(error).__name__})"
    return ""


def describe_wrong_download(path: Path) -> str:
    """Why a file that has just come is not kept; empty where it looks like a checkpoint."""
    if wrong := describe_wrong_kind(path):
        return f"it is not a checkpoint but {wrong[0]}"
    start = read_start(path)
    return "" if start.startswith(STARTS) else f"it is no checkpoint (it begins with {start[:8]!r})"


def read_start(path: Path) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as handle:
        return handle.read(512)
