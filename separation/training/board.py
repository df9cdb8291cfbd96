"""TensorBoard logs: numbers, and a fixed dev mixture to see and hear."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from separation.mixtures.render import Mixture


class Board:
    """TensorBoard logs of the first process.

    Args:
        folder: of the logs.
        first_step: what an interrupted run logged from here on is dropped.
        writes: whether this process writes files.
    """

    def __init__(self, folder: Path, first_step: int, *, writes: bool = True) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step) if writes else None

    def add_scalars(self, values: dict[str, float], step: int) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

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
            step: of the training.
        """
        if self._writer is None:
            return
        signals = {"mixture": mixture.mixture}
        signals |= {f"source_{i}": s for i, s in enumerate(mixture.sources, 1)}
        signals |= {f"estimate_{i}": s for i, s in enumerate(separate(mixture.mixture), 1)}
        self._writer.add_figure("example", draw_spectrograms(signals, sample_rate), step)
        for name, samples in signals.items():
            # SI-SDR leaves the scale open
            heard = torch.from_numpy(0.9 * samples / max(float(np.abs(samples).max()), 1e-9))
            self._writer.add_audio(f"example/{name}", heard, step, sample_rate)

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def draw_spectrograms(signals: dict[str, np.ndarray], sample_rate: int) -> Any:
    """A figure of one spectrogram ``(time,)`` below the other, each 60 dB below its maximum."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from separation.reports.plots import DYNAMIC_RANGE_DB

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
