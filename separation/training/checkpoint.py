"""Checkpoints of a run that is under way: whole or absent, also on a full disk."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from separation.errors import UserError
from separation.models.asteroid import load_tensors, save_tensors
from separation.models.checkpoint.file_kinds import describe_wrong_kind

KEYS = {"state_dict", "step", "epoch", "steps_in_epoch", "stepping_s", "elapsed_s", "stepper"}
KEYS |= {"plateau", "results"}
DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EACCES)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, which ``torch.load(weights_only=True)`` reads.

    Raises:
        OSError: it cannot be written; the file before it stays whole.
    """
    save_tensors(state, path)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What :func:`write_checkpoint` wrote, on the CPU; None where there is no such file.

    Raises:
        UserError: it is something else.
    """
    if not path.is_file():
        return None
    if wrong := describe_wrong_kind(path):
        raise UserError(
            f"{path}: is not a checkpoint but {wrong[0]}; delete it to begin anew, or put a copy "
            "of it there."
        )
    state = load_tensors(path)
    if isinstance(state, dict) and state.keys() >= KEYS:
        return state
    raise UserError(
        f"{path} is no checkpoint of this version of the program: choose a new --tag, or delete "
        "it to begin anew."
    )


@contextlib.contextmanager
def naming_full_disk(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses to write into one sentence.

    Raises:
        UserError: a file could not be written.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.errno not in DISK_REFUSES:
            raise
        if isinstance(error, RuntimeError):
            # so torch words a file that it could not write
            if "inline_container" not in reason and "PytorchStreamWriter" not in reason:
                raise
            reason = "a file could not be written whole"
        free_mb = shutil.disk_usage(folder).free / 1e6
        raise UserError(
            f"{folder} cannot be written ({reason}; {free_mb:.0f} MB free): the last checkpoint is "
            "whole, so make room and run the same command to go on from there."
        ) from error
