"""Progress bar and loggers: numbers, and a fixed dev mixture to see and hear."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from separation.mixtures.signals import Mixture
from separation.training.history import TrainingHistory
from separation.training.loggers import Example, Logger
from separation.training.step import TrainStep


class Tracking:
    """All loggers of a training; only the first process has any.

    Args:
        loggers: as :func:`separation.training.loggers.open_loggers` gives them.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = loggers

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        for logger in self._loggers:
            logger.add_scalars(values, step)

    def add_example(
        self,
        mixture: Mixture,
        separate: Callable[[np.ndarray], np.ndarray],
        sample_rate: int,
        step: int,
    ) -> None:
        """Pictures and audio of a mixture, its sources and its estimates.

        Args:
            mixture: a fixed one.
            separate: ``(time,)`` to estimates ``(n_src, time)``.
            sample_rate: Hz.
            step: of the run.
        """
        if not self._loggers:
            return
        from matplotlib import pyplot

        signals = {"mixture": mixture.mixture}
        signals |= {f"source_{i}": s for i, s in enumerate(mixture.sources, 1)}
        signals |= {f"estimate_{i}": s for i, s in enumerate(separate(mixture.mixture), 1)}
        figure = draw_spectrograms(signals, sample_rate)
        # SI-SDR leaves the scale open
        scaled = {
            name: 0.9 * samples / max(float(np.abs(samples).max()), 1e-9)
            for name, samples in signals.items()
        }
        for logger in self._loggers:
            logger.add_example(Example(scaled, sample_rate), figure, step)
        pyplot.close(figure)

    def close(self) -> None:
        for logger in self._loggers:
            logger.close()


class ProgressLogger:
    """The progress bar of an epoch, and what the loggers get of steps and epochs.

    Args:
        tracking: the loggers.
        history: the epochs so far; only the process that writes it draws a bar.
        loss: ``training.loss``, the ratio that a loss is the negative of: what values are called.
    """

    LOG_EVERY = 20  # steps between looks at what a GPU has computed

    def __init__(self, tracking: Tracking, history: TrainingHistory, loss: str = "si_sdr") -> None:
        self.tracking, self.history, self._ratio = tracking, history, loss

    def open_bar(self, epoch: int, step: int, done: int, n_steps: int) -> Any:
        """A progress bar of an epoch's ``n_steps``, at step ``step`` of the whole run."""
        self._logged = (step, time.monotonic())
        self._bar = tqdm(
            total=n_steps,
            initial=done,
            desc=f"Epoch {epoch}",
            disable=not self.history.writes,
            miniters=self.LOG_EVERY,
        )
        return self._bar

    def log_step(self, step: int, train_step: TrainStep, lr: float) -> None:
        """After a step, whose number ``step`` is the one to come."""
        self._bar.update()
        if step % self.LOG_EVERY:
            return
        now = time.monotonic()
        steps, seconds = step - self._logged[0], now - self._logged[1]
        self._logged = (step, now)
        loss, norm = torch.stack([train_step.loss, train_step.gradient_norm]).tolist()
        self._bar.set_postfix(self._format_postfix(-loss), refresh=False)
        values = {
            "train_loss_step": loss,
            "grad_norm": norm,
            "lr": lr,
            "audio_s_per_s": steps * self.history.audio_s_per_step / max(seconds, 1e-9),
        }
        self.tracking.add_scalars(values, step)

    def _format_postfix(self, ratio_db: float) -> dict[str, str]:
        shown = {self._ratio: f"{ratio_db:.3f}"}
        if self.history.rows:
            shown[f"dev_{self._ratio}"] = f"{-self.history.rows[-1]['dev_loss']:.3f}"
        return shown

    def log_epoch(self, step: int, row: dict[str, Any]) -> None:
        """After an epoch, whose row in ``curves.csv`` is ``row``."""
        names = ("train_loss", "dev_loss", "dev_si_sdri", "skipped", "memory_mb", "validation_s")
        values = {name: row[name] for name in names}
        values[f"dev_{self._ratio}"] = -row["dev_loss"]
        self.tracking.add_scalars(values, step)


def draw_spectrograms(signals: dict[str, np.ndarray], sample_rate: int) -> Any:
    """A figure of one spectrogram ``(time,)`` below the other, each 60 dB below its maximum."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from separation.plots import DYNAMIC_RANGE_DB

    window = round(0.032 * sample_rate)
    figure, axes = pyplot.subplots(
        len(signals), 1, figsize=(7, 1.5 * len(signals)), sharex=True, layout="constrained"
    )
    for axis, (name, samples) in zip(axes, signals.items(), strict=True):
        power = axis.specgram(
            samples + 1e-10, NFFT=window, Fs=sample_rate, noverlap=window * 3 // 4
        )[3]
        top = power.get_array().max()
        power.set_clim(top - DYNAMIC_RANGE_DB, top)
        axis.set_ylabel(name)
    axes[-1].set_xlabel("s")
    return figure
