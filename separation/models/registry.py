"""All architectures that ``model.name`` may name: the files of this folder with a table ``MODELS``.

Light: neither torch nor Asteroid is imported before a model is built.
"""

import functools
import importlib
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import separation.models
from separation.errors import UserError
from separation.models.architecture import AsteroidConf, BuiltAs, ModelConf

if TYPE_CHECKING:
    from torch import nn

HAS_TABLE = re.compile(r"^MODELS\b", re.MULTILINE)


@functools.cache
def list_models() -> dict[str, type[ModelConf]]:
    """The record class of every architecture by its name, in the order of the files."""
    found: dict[str, type[ModelConf]] = {}
    for folder in separation.models.__path__:
        for module in pkgutil.iter_modules([folder]):
            path = Path(folder) / f"{module.name}.py"
            # read first: a file that is no architecture may import torch
            if not module.ispkg and HAS_TABLE.search(path.read_text(encoding="utf-8")):
                found |= importlib.import_module(f"separation.models.{module.name}").MODELS
    return found


def find_conf_class(name: str) -> type[ModelConf]:
    """The record class of an architecture; raises :class:`UserError` where there is none."""
    known = list_models()
    if name not in tuple(known):  # YAML may give a list, which no dictionary looks up
        raise UserError(f"model.name={name} is unknown; choose one of {', '.join(known)}.")
    return known[name]


def build_model(conf: ModelConf, n_src: int, sample_rate: int) -> "nn.Module":
    """The network that a config names, with random weights.

    Args:
        conf: the model's arguments.
        n_src: number of speakers.
        sample_rate: Hz.

    Returns:
        a model ``(batch, time) -> (batch, n_src, time)``.
    """
    model = conf.build(n_src, sample_rate)
    return _label(model, type(conf), conf.name, conf.saved_arguments(n_src, sample_rate))


def rebuild_model(name: str, arguments: dict[str, Any]) -> "nn.Module":
    """The model that a saved file names, before its weights are loaded.

    Args:
        name: of an architecture here, or of any other class of Asteroid's.
        arguments: as the file states them.

    Raises:
        UserError: there is no such model, or values are out of bounds.
        Exception: whatever a constructor makes of wrong arguments.
    """
    from separation.models.asteroid import find_class

    for known, kind in list_models().items():
        if known.lower() == name.lower():
            return _label(kind.rebuild(known, arguments), kind, known, arguments)
    model_class = find_class(name)
    if model_class is None:
        raise UserError(f"Asteroid has no model called {name}.")
    return model_class(**arguments)


def _label(
    model: "nn.Module", kind: type[ModelConf], name: str, arguments: dict[str, Any]
) -> "nn.Module":
    """Note on a network that is not made like Asteroid's what a saved file needs."""
    if not issubclass(kind, AsteroidConf):
        built_as: Any = BuiltAs(name, arguments)
        model.built_as = built_as
        model.sample_rate = arguments["sample_rate"]
    return model


def find_architecture(model: "nn.Module") -> type[ModelConf]:
    """The record class that a network belongs to; :class:`ModelConf` itself where it is of none."""
    built_as: Any = getattr(model, "built_as", None)
    name = built_as.name if built_as else type(model).__name__
    return list_models().get(name, ModelConf)


def register_with_asteroid() -> None:
    """Let ``asteroid.models.BaseModel.from_pretrained`` load our networks made like Asteroid's."""
    for name, kind in list_models().items():
        if issubclass(kind, AsteroidConf):
            kind.find_class(name)
