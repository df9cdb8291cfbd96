"""Asteroid's package, imported here and nowhere else, and the format of its files."""

import importlib
import io
import logging
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

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


def find_class(name: str) -> Any:
    """The model class of Asteroid's of that name, upper or lower case; None where it has none."""
    known = {key.lower(): value for key, value in vars(import_asteroid("models")).items()}
    found = known.get(name.lower())
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def describe_model(model: nn.Module) -> tuple[str, dict[str, Any]]:
    """The name of a model's class or architecture, and the arguments that make it again."""
    built_as: Any = getattr(model, "built_as", None)
    if built_as:
        return built_as.name, built_as.arguments
    if not hasattr(model, "get_model_args"):  # a pickled module of someone's own code
        return type(model).__name__, {}
    return type(model).__name__, model.get_model_args()  # type: ignore[operator]


def pack_model(model: nn.Module) -> dict[str, Any]:
    """Asteroid's ``serialize()`` dict, for a network that is not made like Asteroid's too.

    Version strings are plain text: Asteroid itself stores a ``TorchVersion``, which ``torch.load``
    of torch >= 2.6 refuses.
    """
    if not hasattr(model, "built_as"):
        package = model.serialize()  # type: ignore[operator]
        versions = package["infos"]["software_versions"]
        package["infos"]["software_versions"] = {key: str(value) for key, value in versions.items()}
        return package
    name, arguments = describe_model(model)
    return {
        "model_name": name,
        "model_args": arguments,
        "state_dict": model.state_dict(),
        "infos": {"software_versions": {"torch_version": str(torch.__version__)}},
    }


def save_model(model: nn.Module, path: Path) -> None:
    """Write a model so that ``BaseModel.from_pretrained(path)`` loads it, if it is Asteroid's.

    Its tensors are stored as the CPU's, so that a plain ``torch.load`` without a GPU reads them.
    """
    package = pack_model(model)
    for name, value in package["state_dict"].items():
        package["state_dict"][name] = value.cpu()
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


def load_tensors(path: Path) -> Any:
    """What :func:`save_tensors` wrote, on the CPU; None where the file is something else.

    Raises:
        OSError, MemoryError: what a disk or the memory refuses.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception:  # torch and pickle raise nearly all there are on a damaged file
        return None
