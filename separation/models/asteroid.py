"""Asteroid models: built by name, loaded safely, saved in Asteroid's format.

The one place that imports Asteroid.
"""

import importlib
import importlib.util
import io
import logging
import shutil
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from separation.config.model import ModelConf
from separation.errors import UserError
from separation.files import write_whole

logger = logging.getLogger(__name__)


class _MissingStoi(nn.Module):
    """Stands in for torch_stoi where torchaudio's native library cannot load."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UserError("STOI as a loss needs a torchaudio that loads here; install one.")


def import_asteroid(name: str) -> Any:
    """Import ``asteroid.<name>``, with a stand-in for a torch_stoi that cannot load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(f"asteroid.{name}")
        except OSError:
            stoi = types.ModuleType("torch_stoi")
            stoi.NegSTOILoss = _MissingStoi  # type: ignore[attr-defined]
            sys.modules["torch_stoi"] = stoi
            for loaded in [key for key in sys.modules if key.split(".")[0] == "asteroid"]:
                del sys.modules[loaded]
            return importlib.import_module(f"asteroid.{name}")


def build_model(conf: ModelConf, n_src: int, sample_rate: int) -> nn.Module:
    """Build the Asteroid model class that the config names.

    Args:
        conf: the model's arguments.
        n_src: number of speakers.
        sample_rate: Hz.

    Returns:
        a model ``(batch, time) -> (batch, n_src, time)``.
    """
    return find_model_class(conf.name)(
        n_src=n_src, sample_rate=sample_rate, **conf.arguments(sample_rate)
    )


def find_model_class(name: str) -> Any:
    """The class of that name: Asteroid's, or our own among Asteroid's."""
    return getattr(import_models(), name)


def import_models() -> Any:
    """``asteroid.models`` with :class:`separation.models.stft_mask.STFTMask` registered."""
    importlib.import_module("separation.models.stft_mask")
    return import_asteroid("models")


def save_model(model: nn.Module, path: Path) -> None:
    """Write Asteroid's ``serialize()`` dict, which ``BaseModel.from_pretrained(path)`` loads.

    Version strings are stored as plain text: Asteroid itself stores a ``TorchVersion``, which
    ``torch.load`` of torch >= 2.6 refuses.
    """
    package = model.serialize()  # type: ignore[operator]
    versions = package["infos"]["software_versions"]
    package["infos"]["software_versions"] = {key: str(value) for key, value in versions.items()}
    save_tensors(package, path)


def save_tensors(values: Any, path: Path) -> None:
    """``torch.save`` to a file that is whole or absent.

    By way of memory: where torch itself meets a full disk, it does not say so.
    """
    buffer = io.BytesIO()
    torch.save(values, buffer)
    with write_whole(path) as partial:
        # A view of the buffer, kept by the error of a full disk, crashes Python 3.12.1's collector.
        partial.write_bytes(buffer.getvalue())


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can work here: it needs a C++ compiler (CPU) or Triton (CUDA)."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    return shutil.which("g++") is not None or shutil.which("clang++") is not None


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
