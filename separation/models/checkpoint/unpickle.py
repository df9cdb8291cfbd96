"""Checkpoint files read without running anything that they say.

``torch.load(weights_only=True)`` makes tensors and plain containers by itself. The names that
Asteroid, Lightning and NumPy add are not looked up: each is bound to a stand-in below, which only
keeps values. Any other name is refused.
"""

import argparse
import math
import pickle
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from separation.errors import UserError
from separation.models.checkpoint.file_kinds import describe_wrong_kind

TRUST_FLAG = "--trust-checkpoint"
NUMBER = re.compile(r"[fiub]\d{1,2}")  # NumPy's names of plain numbers: f8, i4, b1 ...
MAX_VALUES = 3_000_000  # of containers, with what they share unfolded
FORBIDDEN = re.compile(r"GLOBAL ([\w.<>]+)")  # in torch's own sentence


class _DtypeName:
    """Stands in for ``numpy.dtype``: keeps the name and the byte order."""

    def __init__(self, name: str = "", *_: Any) -> None:
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _read_scalar(dtype: _DtypeName, data: bytes = b"") -> Any:
    """Stands in for ``numpy.core.multiarray.scalar``: a NumPy number or text as Python's own."""
    if NUMBER.fullmatch(dtype.name):
        kind = np.dtype(dtype.order + dtype.name)
        if len(data) == kind.itemsize:
            return np.frombuffer(data, kind)[0].item()
    if dtype.name.startswith("U"):
        return data.decode("utf-32-be" if dtype.order == ">" else "utf-32-le")
    raise pickle.UnpicklingError("a NumPy value that is neither a number nor text")


class _Forgotten:
    """Stands in for what old Lightning names in its checkpoints and nobody needs."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.__dict__.clear()


STAND_INS: list[Any] = [
    torch.torch_version.TorchVersion,  # a str
    (argparse.Namespace, "argparse.Namespace"),
    (_DtypeName, "numpy.dtype"),
    (_read_scalar, "numpy.core.multiarray.scalar"),  # NumPy 1
    (_read_scalar, "numpy._core.multiarray.scalar"),  # NumPy 2
    (PurePosixPath, "pathlib.PosixPath"),
    (PurePosixPath, "pathlib._local.PosixPath"),  # Python 3.13
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (dict, "lightning_fabric.utilities.data.AttributeDict"),
    (dict, "lightning.fabric.utilities.data.AttributeDict"),
    (dict, "lightning.pytorch.utilities.parsing.AttributeDict"),
    (_Forgotten, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (_Forgotten, "pytorch_lightning.callbacks.early_stopping.EarlyStopping"),
    (_Forgotten, "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint"),
    (_Forgotten, "lightning.pytorch.callbacks.early_stopping.EarlyStopping"),
]


def read_file(path: Path, name: str, *, trust: bool = False) -> Any:
    """What ``torch.save`` wrote, with tensors on the CPU and all else as plain Python values.

    Args:
        path: the file.
        name: what the user calls it, for the sentences.
        trust: unpickle freely, which runs whatever the file says.

    Raises:
        UserError: no checkpoint, cut off, or it names something that is not harmless.
    """
    if wrong := describe_wrong_kind(path):
        raise UserError(f"{name}: is not a checkpoint but {'; '.join(wrong)}.")
    try:
        if trust:
            content = torch.load(path, map_location="cpu", weights_only=False)
        else:
            with torch.serialization.safe_globals(STAND_INS):
                content = torch.load(path, map_location="cpu", weights_only=True)
        if count_values(content) > MAX_VALUES:
            raise UserError(
                f"{name}: is not a checkpoint but lists that hold each other, more than "
                f"{MAX_VALUES} values unfolded; delete {path} and get it again."
            )
        return _make_plain(content)
    except UserError:
        raise
    except Exception as error:  # torch and pickle raise nearly all there are on a bad file
        raise UserError(f"{name}: {_explain(error, path)}.") from error


def _explain(error: Exception, path: Path) -> str:
    """Why a file could not be read; torch's own text advises full unpickling, so it is not shown.

    Legacy files, which are no zip archives, may be cut off without any mark of it.
    """
    if found := FORBIDDEN.search(str(error)):
        return (
            f"is not a checkpoint of tensors and plain values: it asks to run {found[1]}, and was "
            f"not read; if you trust who made it, add {TRUST_FLAG}, which runs what it says"
        )
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read ({error.strerror}); check the file {path}"
    if isinstance(error, MemoryError):
        return "does not fit into memory; give a smaller model, or free some"
    reason = "TorchScript cannot be scored" if "TorchScript" in str(error) else "or it is cut off"
    return (
        f"is not a checkpoint that torch reads ({reason}); give a file that Asteroid, Lightning "
        f"or stage 4 saved; where {path} was downloaded, delete it to fetch it anew"
    )


def count_values(value: Any) -> float:
    """Values within containers, each as often as it is reached; infinite of one that holds itself.

    >>> shared = [1, 2]
    >>> count_values([shared, shared]), count_values({"a": 1})
    (7, 3)
    """
    sizes: dict[int, float] = {}

    def count(part: Any) -> float:
        if isinstance(part, argparse.Namespace):
            part = vars(part)
        if not isinstance(part, (dict, list, tuple, set)):
            return 1
        if id(part) not in sizes:
            sizes[id(part)] = math.inf  # under way
            inner = [*part, *part.values()] if isinstance(part, dict) else part
            sizes[id(part)] = 1 + sum(map(count, inner))
        return sizes[id(part)]

    return count(value)


def _make_plain(value: Any) -> Any:
    """Containers, numbers and texts as Python's own, so that they can be saved and read again."""
    if isinstance(value, dict):
        return {_make_plain(key): _make_plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_make_plain, value)) if type(value) in (list, tuple) else list(value)
    if isinstance(value, argparse.Namespace):
        return _make_plain(vars(value))
    if isinstance(value, (str, PurePosixPath)):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value
