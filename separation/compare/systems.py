"""What is compared: a checkpoint's model, a function of someone's own code, or separated files."""

import importlib
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from separation.compare.comparison import ModelInfo
from separation.datasets.evaluation_sets import EvalSet
from separation.errors import UserError
from separation.evaluation.estimators import Estimator, make_model_estimator
from separation.files import hash_file, hash_value
from separation.mixtures.signals import Mixture
from separation.mixtures.table import MixtureRow
from separation.models.asteroid import describe_model
from separation.models.checkpoint.load import LoadedModel, open_model
from separation.text import explain_error, suggest_nearest

logger = logging.getLogger(__name__)
FUNCTION = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
UNKNOWN_RATE = 8000  # Hz, of a function that states none, on tables, which have none either


class System(Protocol):
    """What separates, or has separated, the mixtures of a set.

    Attributes:
        info: for the report.
        key: what its estimates depend on, beside the mixtures and their stamps.
    """

    @property
    def info(self) -> ModelInfo: ...

    @property
    def key(self) -> str: ...

    def open(self, eval_set: EvalSet) -> Estimator:
        """The estimator itself, for one set."""
        ...

    def stamp(self, eval_set: EvalSet, row: MixtureRow) -> list[Any]:
        """What the estimates of one mixture depend on beside ``key``; mostly nothing."""
        ...


@dataclass(frozen=True)
class CheckpointSystem:
    """The model of a checkpoint."""

    loaded: LoadedModel
    device: torch.device

    @property
    def info(self) -> ModelInfo:
        model = self.loaded
        return ModelInfo(
            name=model.name,
            sha256=model.sha256,
            sample_rate=model.sample_rate,
            n_src=model.n_src,
            notes=model.notes,
            published=model.published,
        )

    @property
    def key(self) -> str:
        # a file of weights alone takes its architecture from a conf.yml
        class_name, arguments = describe_model(self.loaded.model)
        built = [class_name, sorted(map(str, arguments.items()))]
        parts = [self.loaded.sha256, self.loaded.sample_rate, built, self.device.type]
        return hash_value(parts)

    def open(self, eval_set: EvalSet) -> Estimator:
        return make_model_estimator(self.loaded.model, self.device)

    def stamp(self, eval_set: EvalSet, row: MixtureRow) -> list[Any]:
        return []


@dataclass(frozen=True, kw_only=True)
class FunctionSystem:
    """A function ``(samples, sample_rate) -> voices`` of someone's own code.

    It takes float32 ``(time,)`` and Hz and gives ``(n_src, time)``, an array or a tensor. Where it
    has an attribute ``version``, any text, its scores are kept for the next call as those of a
    model are; else nobody knows whether it is still what it was, and all is scored anew.

    Attributes:
        name: ``module:function``.
        function: itself.
        sample_rate: Hz, of what it is given.
        path: the module's file.
    """

    name: str
    function: Callable[[np.ndarray, int], Any]
    sample_rate: int
    path: Path

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            sha256=hash_file(self.path),
            sample_rate=self.sample_rate,
            n_src=0,
            notes=(f"a function of {self.path}; its scores are of the code as it was then.",),
        )

    @property
    def key(self) -> str:
        version = getattr(self.function, "version", None)
        once = os.urandom(8).hex() if version is None else str(version)
        return hash_value([self.name, hash_file(self.path), self.sample_rate, once])

    def open(self, eval_set: EvalSet) -> Estimator:
        def estimate(mixture: Mixture) -> np.ndarray:
            voices = self.function(mixture.mixture.copy(), mixture.sample_rate)
            if isinstance(voices, torch.Tensor):
                voices = voices.detach().float().cpu().numpy()
            return np.asarray(voices, np.float32)

        return estimate

    def stamp(self, eval_set: EvalSet, row: MixtureRow) -> list[Any]:
        return []


def is_function(text: str) -> bool:
    """Whether a model is named as ``module:function``."""
    return bool(FUNCTION.fullmatch(text)) and not Path(text).exists()


def load_function(text: str) -> tuple[Callable[[np.ndarray, int], Any], Path]:
    """A function and its module's file.

    Raises:
        UserError: the module cannot be imported or has no such function.
    """
    name, _, attribute = text.partition(":")
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever someone's own module raises
        raise UserError(
            f"--models {text}: importing {name} failed ({explain_error(error)}); give "
            "module:function from its folder, or with the folder in PYTHONPATH."
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        near = suggest_nearest(attribute, vars(module))
        raise UserError(
            f"--models {text}: {name} has no function {attribute}; {near}it should take samples "
            "(time,) and a rate in Hz, and return (n_src, time)."
        )
    return function, Path(str(module.__file__))


def open_checkpoints(
    texts: list[str], device: torch.device, *, trust: bool
) -> list[CheckpointSystem]:
    """The models that are named by file, folder, Hub name or URL."""
    return [CheckpointSystem(open_model(text, trust=trust), device) for text in texts]


def open_function(text: str, stated_rate: int | None, sets: list[EvalSet]) -> FunctionSystem:
    """A function as a system.

    Its rate is that of its attribute ``sample_rate``, else the one that was asked for, else that
    of the first set's audio.
    """
    function, path = load_function(text)
    rate = getattr(function, "sample_rate", None) or stated_rate
    own_rates = [eval_set.own_rate for eval_set in sets if eval_set.own_rate]
    rate = rate or next(iter(own_rates), UNKNOWN_RATE)
    return FunctionSystem(name=text, function=function, sample_rate=int(rate), path=path)
