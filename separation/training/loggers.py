"""Where a training's numbers and examples go: TensorBoard, Weights & Biases, MLflow.

The latter two through Lightning's loggers; their packages are optional. A run that goes on later
goes on under the identity that it was given at first, which ``loggers.json`` keeps.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from separation.errors import UserError
from separation.files import read_json, write_json

if TYPE_CHECKING:
    import numpy as np

PROJECT = "separation"  # where WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME names no other


@dataclass(frozen=True)
class Example:
    """A mixture with its sources and estimates, to see and hear.

    Attributes:
        signals: ``(time,)`` each, between -1 and 1, by name.
        sample_rate: Hz.
    """

    signals: Mapping[str, "np.ndarray"]
    sample_rate: int


class Logger(Protocol):
    """What a training tells."""

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step."""
        ...

    def add_example(self, example: Example, figure: Any, step: int) -> None:
        """Signals, and the figure of their spectrograms."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def check_loggers(names: Sequence[str]) -> None:
    """Raise :class:`UserError` where the package of a logger is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise UserError(
                f"training.loggers: {name} is not installed: run pip install {name} in this "
                "Python environment, or leave it out."
            )


class TensorBoardLogger:
    """TensorBoard's event files.

    Args:
        folder: of the logs.
        first_step: what an interrupted run logged from here on is dropped.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def add_example(self, example: Example, figure: Any, step: int) -> None:
        import torch

        self._writer.add_figure("example", figure, step, close=False)
        for name, samples in example.signals.items():
            audio = torch.from_numpy(samples)
            self._writer.add_audio(f"example/{name}", audio, step, example.sample_rate)

    def close(self) -> None:
        self._writer.close()


class WandbLogger:
    """Weights & Biases by Lightning's logger; ``WANDB_MODE=offline`` needs no network.

    Args:
        folder: of the experiment.
        run_id: under which a run goes on.
        config: of the recipe.
    """

    def __init__(self, folder: Path, run_id: str, config: dict[str, Any]) -> None:
        from pytorch_lightning import loggers

        self._logger = loggers.WandbLogger(
            name=name_run(folder),
            save_dir=folder,
            id=run_id,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            resume="allow",
        )
        self._logger.log_hyperparams(config)

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        self._logger.log_metrics(dict(values), step)

    def add_example(self, example: Example, figure: Any, step: int) -> None:
        self._logger.log_image("example", [figure], step)
        for name, samples in example.signals.items():
            rates = [example.sample_rate]
            self._logger.log_audio(f"example/{name}", [samples], step, sample_rate=rates)

    def close(self) -> None:
        self._logger.finalize("success")
        self._logger.experiment.finish()


class MlflowLogger:
    """MLflow by Lightning's logger: at ``MLFLOW_TRACKING_URI``, else in the experiment's folder.

    Args: as :class:`WandbLogger`; ``run_id`` is empty for a new run.
    """

    def __init__(self, folder: Path, run_id: str, config: dict[str, Any]) -> None:
        from pytorch_lightning import loggers

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        self._logger = loggers.MLFlowLogger(
            experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
            run_name=name_run(folder),
            tracking_uri=uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}",
            artifact_location=None if uri else (folder / "mlflow").resolve().as_uri(),
            run_id=run_id or None,
        )
        if not run_id:
            self._logger.log_hyperparams(config)

    @property
    def run_id(self) -> str:
        return self._logger.run_id or ""

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        self._logger.log_metrics(dict(values), step)

    def add_example(self, example: Example, figure: Any, step: int) -> None:
        path = f"example/{step:08d}.png"
        self._logger.experiment.log_figure(self._logger.run_id, figure, path)

    def close(self) -> None:
        self._logger.finalize("success")


def name_run(folder: Path) -> str:
    """``MIX/MODEL/TAG`` of an experiment's folder."""
    return "/".join(folder.resolve().parts[-3:])


def open_loggers(
    names: Sequence[str], folder: Path, first_step: int, config: dict[str, Any]
) -> list[Logger]:
    """The loggers of a training.

    Args:
        names: of ``tensorboard``, ``wandb``, ``mlflow``.
        folder: of the experiment.
        first_step: of this call, from 1.
        config: of the recipe, by section and key.

    Raises:
        UserError: a package is not installed.
    """
    check_loggers(names)
    path = folder / "loggers.json"
    identities: dict[str, str] = read_json(path) or {}
    opened: list[Logger] = []
    if "tensorboard" in names:
        opened.append(TensorBoardLogger(folder / "tensorboard", first_step))
    if "wandb" in names:
        identities.setdefault("wandb", uuid4().hex[:8])
        opened.append(WandbLogger(folder, identities["wandb"], config))
    if "mlflow" in names:
        mlflow = MlflowLogger(folder, identities.get("mlflow", ""), config)
        identities["mlflow"] = mlflow.run_id
        opened.append(mlflow)
    if identities:
        write_json(path, identities)
    return opened
