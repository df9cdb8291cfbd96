"""What a training leaves for people: the curve, the best model, early stopping."""

import logging
import resource
from pathlib import Path
from typing import Any

import torch
from torch import nn

from separation.files import format_rows, write_text
from separation.models.asteroid import save_model
from separation.training.validation import DevScores

logger = logging.getLogger(__name__)

CURVE_COLUMNS = [
    *("epoch", "step", "elapsed_s", "train_loss", "dev_loss", "lr", "audio_s_per_s"),
    *("dev_si_sdri", "skipped", "memory_mb", "validation_s"),
]


class KeepResults:
    """Curve, best model and early stopping; only the first process writes.

    Args:
        folder: of the experiment.
        audio_s_per_step: seconds of mixtures that a step takes.
        early_stop: epochs without a better dev loss after which :attr:`is_over`; 0: never.
        writes: whether this process writes files.
    """

    def __init__(
        self, folder: Path, audio_s_per_step: float, early_stop: int, *, writes: bool = True
    ) -> None:
        self.folder = folder
        self.audio_s_per_step = audio_s_per_step
        self.early_stop = early_stop
        self.writes = writes
        self.rows: list[dict[str, Any]] = []
        self.best_loss = float("inf")
        self.epochs_without_gain = 0

    def state_dict(self) -> dict[str, Any]:
        names = ("rows", "best_loss", "epochs_without_gain")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    @property
    def is_over(self) -> bool:
        """Whether early stopping ends the training."""
        return 0 < self.early_stop <= self.epochs_without_gain

    def keep_best(self, model: nn.Module, dev_loss: float) -> None:
        """Save the model if it is the best so far."""
        self.epochs_without_gain = 0 if dev_loss < self.best_loss else self.epochs_without_gain + 1
        if dev_loss < self.best_loss:
            self.best_loss = dev_loss
            if self.writes:
                save_model(model, self.folder / "best_model.pth")
        if self.is_over:
            logger.info("dev loss has not fallen for %d epochs: stop", self.epochs_without_gain)

    def add_row(self, values: dict[str, Any], dev: DevScores, device: torch.device) -> dict:
        """Append to ``curves.csv`` what an epoch gave; returns the row.

        Args:
            values: epoch, step, elapsed_s, train_loss, lr, skipped; stepping_s, the seconds that
                the epoch's steps took, and validation_s.
            dev: the epoch's scores.
            device: whose memory is reported.
        """
        before = self.rows[-1]["step"] if self.rows else 0
        audio_s = (values["step"] - before) * self.audio_s_per_step
        stepping_s = max(values["stepping_s"], 1e-9)
        row = {name: value for name, value in values.items() if name != "stepping_s"} | {
            "elapsed_s": round(values["elapsed_s"], 1),
            "train_loss": round(values["train_loss"], 4),
            "dev_loss": round(dev.loss, 4),
            "audio_s_per_s": round(audio_s / stepping_s, 1),
            "dev_si_sdri": round(dev.si_sdri, 4),
            "memory_mb": round(peak_memory_mb(device)),
            "validation_s": round(values["validation_s"], 1),
        }
        self.rows.append(row)
        if self.writes:
            write_text(self.folder / "curves.csv", format_rows(self.rows, CURVE_COLUMNS))
        logger.info(
            "epoch %d: train SI-SDR %.2f dB, dev SI-SDR %.2f dB (SI-SDRi %.2f dB), "
            "%.0f s of audio a second, %d MB, %.1f minutes",
            *(row["epoch"], -row["train_loss"], -dev.loss, dev.si_sdri, row["audio_s_per_s"]),
            *(row["memory_mb"], values["elapsed_s"] / 60),
        )
        return row


def peak_memory_mb(device: torch.device) -> float:
    """Most memory used so far: of tensors on a GPU, else of the whole process (Linux: kB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
