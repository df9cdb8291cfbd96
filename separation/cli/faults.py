"""What the machine refuses, a disk, a right, memory, as one sentence; anything else is a defect."""

import errno
import shutil
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

from separation.text import explain_error

GO_ON = "run the same command to go on"
ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"make room and {GO_ON}"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "check its rights, or choose another"
    ),
    **dict.fromkeys((errno.EIO, errno.ESTALE), f"check the disk and {GO_ON}"),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST), "move it away, or choose another"),
    errno.EFBIG: f"raise the limit (ulimit -f) and {GO_ON}",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "remove the links that lead back to themselves",
    errno.EMFILE: "raise the limit (ulimit -n), or lower --nj",
    errno.ENOMEM: "free some memory, or lower --nj",
    errno.EAGAIN: "free some memory or processes, or lower --nj",
    errno.ENOENT: f"restore it and {GO_ON}",
}
SF_ERR_SYSTEM = 2  # sndfile.h
FULL_BYTES = 1 << 20  # free space at which a write that failed for no stated reason had no room


def explain_fault(error: BaseException, folders: list[Path]) -> str:
    """One sentence for what the machine refused; empty for a defect of the program.

    Args:
        error: what ended the command.
        folders: that it writes into.
    """
    if isinstance(error, OSError) and error.errno in ADVICE:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}cannot be read or written ({error.strerror}); {ADVICE[error.errno]}."
    if isinstance(error, MemoryError):
        return (
            f"the memory is full ({explain_error(error)}); free some, or lower --nj, and {GO_ON}."
        )
    if isinstance(error, BrokenExecutor):
        return (
            "a process was ended from outside, perhaps for want of memory; free some, or lower "
            f"--nj, and {GO_ON}."
        )
    if isinstance(error, RuntimeError) and "/gloo/transport/" in str(error):
        return (
            "another process of this training, or its node, ended; its own output says why. Run "
            "the same command on all nodes to go on."
        )
    if "DataLoader worker" in str(error):
        return (
            f"a process that makes training mixtures ended ({explain_error(error)[:120]}); lower "
            f"training.num_workers, and {GO_ON}."
        )
    if _is_refused_write(error):
        places = ", ".join(f"{measure_free(own) / 1e6:.0f} MB free in {own}" for own in folders)
        return (
            f"a file could not be written whole ({places or 'no room'}); make room, in your quota "
            f"too if there is one, and {GO_ON}."
        )
    full = [folder for folder in folders if measure_free(folder) < FULL_BYTES]
    if full and isinstance(error, (OSError, RuntimeError)):
        return f"{full[0]}: the disk is full ({explain_error(error)[:120]}); make room and {GO_ON}."
    return ""


def _is_refused_write(error: BaseException) -> bool:
    """How libsndfile and torch say that the system took fewer bytes than they had."""
    if type(error).__name__ == "LibsndfileError":
        return getattr(error, "code", 0) == SF_ERR_SYSTEM
    return any(text in str(error) for text in ("inline_container", "PytorchStreamWriter"))


def measure_free(folder: Path) -> float:
    """Free bytes of the disk that a folder, or the nearest one above it, lies on."""
    above = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    try:
        return shutil.disk_usage(above).free
    except OSError:
        return float("inf")


def list_folders(options: Any) -> list[Path]:
    """The folders that a command's options name to be written into."""
    values = [getattr(options, name, None) for name in ("out", "data", "exp", "folder")]
    return [value.expanduser().absolute() for value in values if isinstance(value, Path)]
