"""Training history: one row of ``curves.csv`` an epoch, the best model, early stopping."""

import logging
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from separation.files import format_rows, write_text
from separation.models.asteroid import save_model
from separation.training.validation import DevScores

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """What an epoch of training gave, before validation.

    Attributes:
        epoch: its number, from 0.
        step: steps of the whole run so far.
        elapsed_s: seconds of training so far.
        stepping_s: that the epoch's steps took.
        validation_s: that validation took.
        train_loss: mean over the steps that counted, in dB.
        lr: learning rate after its last step.
        n_skipped: steps whose loss or gradient was not finite.
    """

    epoch: int
    step: int
    elapsed_s: float
    stepping_s: float
    validation_s: float
    train_loss: float
    lr: float
    n_skipped: int


class TrainingHistory:
    """All epochs so far, the best model and early stopping; only the first process writes.

    Args:
        folder: of the experiment.
        audio_s_per_step: seconds of mixtures that a step takes.
        early_stop: epochs without a better dev loss after which training stops; 0: never.
        writes: whether this process writes files.
    """

    def __init__(
        self, folder: Path, audio_s_per_step: float, early_stop: int, *, writes: bool = True
    ) -> None:
        self.folder = folder
        self.audio_s_per_step = audio_s_per_step
        self.early_stop = early_stop
        self.writes = writes
        self.rows: list[dict[str, float]] = []
        self.best_loss = float("inf")
        self.epochs_without_gain = 0

    def state_dict(self) -> dict[str, Any]:
        names = ("rows", "best_loss", "epochs_without_gain")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    @property
    def stops_early(self) -> bool:
        """Whether the dev loss has not fallen for ``early_stop`` epochs."""
        return 0 < self.early_stop <= self.epochs_without_gain

    def save_if_best(self, model: nn.Module, dev_loss: float) -> None:
        """Save the model as ``best_model.pth`` if its dev loss is the lowest so far."""
        self.epochs_without_gain = 0 if dev_loss < self.best_loss else self.epochs_without_gain + 1
        if dev_loss < self.best_loss:
            self.best_loss = dev_loss
            if self.writes:
                save_model(model, self.folder / "best_model.pth")
        if self.stops_early:
            logger.info("dev loss has not fallen for %d epochs: stop", self.epochs_without_gain)

    def add_epoch(
        self, result: EpochResult, dev: DevScores, device: torch.device
    ) -> dict[str, float]:
        """Append an epoch to ``curves.csv``; returns its row.

        Args:
            result: of the epoch's steps.
            dev: the epoch's scores.
            device: whose memory is reported.
        """
        before = self.rows[-1]["step"] if self.rows else 0
        audio_s = (result.step - before) * self.audio_s_per_step
        row = {
            "epoch": result.epoch,
            "step": result.step,
            "elapsed_s": round(result.elapsed_s, 1),
            "train_loss": round(result.train_loss, 4),
            "dev_loss": round(dev.loss, 4),
            "lr": result.lr,
            "audio_s_per_s": round(audio_s / max(result.stepping_s, 1e-9), 1),
            "dev_si_sdri": round(dev.si_sdri, 4),
            "skipped": result.n_skipped,
            "memory_mb": round(peak_memory_mb(device)),
            "validation_s": round(result.validation_s, 1),
        }
        self.rows.append(row)
        if self.writes:
            write_text(self.folder / "curves.csv", format_rows(self.rows, list(row)))
        logger.info(
            "epoch %d: train SI-SDR %.2f dB, dev SI-SDR %.2f dB (SI-SDRi %.2f dB), "
            "%.0f s of audio a second, %d MB, %.1f minutes",
            result.epoch,
            -row["train_loss"],
            -dev.loss,
            dev.si_sdri,
            row["audio_s_per_s"],
            row["memory_mb"],
            result.elapsed_s / 60,
        )
        return row


def peak_memory_mb(device: torch.device) -> float:
    """Most memory used so far: of tensors on a GPU, else of the whole process (Linux: kB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
