"""What a model learns in so many steps from a recipe's own mixtures, to compare trainings."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.gpu.steps import Step
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import open_split
from separation.jobs import spread_evenly
from separation.training.loss import make_pit_loss

AT_ONCE = 4  # dev mixtures
SILENT_RMS = 1e-4
Item = tuple[torch.Tensor, torch.Tensor]  # mixture (time,), sources (n_src, time)


class Learner:
    """Training steps, and the time that they took.

    Batch ``n`` is of the items ``n * batch`` and on: equal for all that have its size.

    Args:
        step: with the model that it trains.
        items: training mixtures by number, without end.
        batch: items of a step.
        device: of the model.

    Attributes:
        losses: of all steps, in dB.
        cpu_s: CPU seconds of all steps, their mixtures included, compiling not.
    """

    def __init__(self, step: Step, items: Any, batch: int, device: torch.device) -> None:
        self.step, self.items, self.batch, self.device = step, items, batch, device
        self.losses: list[float] = []
        self.cpu_s = 0.0

    def learn(self, n_steps: int) -> float:
        """Do so many steps more; their mean loss in dB."""
        for _ in range(n_steps):
            began, first = time.process_time(), len(self.losses) * self.batch
            items = [self.items[first + k] for k in range(self.batch)]
            mixtures, sources = (torch.stack(part) for part in zip(*items, strict=True))
            loss = self.step.run((mixtures.to(self.device), sources.to(self.device)))
            self.losses.append(float(loss))
            self.cpu_s += time.process_time() - began
        return sum(self.losses[-n_steps:]) / n_steps

    def score(self, dev: Sequence[Item]) -> float:
        """Mean SI-SDRi in dB over mixtures of one length, by Asteroid's own layers in float32."""
        loss, model, improvement_db = make_pit_loss("si_sdr"), self.step.model, 0.0
        model.eval()
        with torch.no_grad():
            for place in range(0, len(dev), AT_ONCE):
                group = dev[place : place + AT_ONCE]
                mixtures, sources = (
                    torch.stack(part).to(self.device) for part in zip(*group, strict=True)
                )
                unprocessed = mixtures[:, None].expand_as(sources)
                gains = loss(unprocessed, sources) - loss(model(mixtures), sources)
                improvement_db += float(gains) * len(group)
        model.train()
        return improvement_db / len(dev)


def cut_dev(experiment: Experiment, n_mixtures: int, segment_s: float) -> list[Item]:
    """The beginnings of evenly spaced dev mixtures in which all sources are heard.

    Args:
        experiment: whose stage 2 is done.
        n_mixtures: at most.
        segment_s: their length.
    """
    dev, items = open_split(experiment, "dev"), []
    n_samples = round(segment_s * experiment.conf.audio.sample_rate)
    for number in spread_evenly(len(dev), 2 * n_mixtures):
        whole = dev[number]
        sources = torch.from_numpy(whole.sources[:, :n_samples])
        is_long = sources.shape[1] == n_samples
        if is_long and float(sources.square().mean(1).sqrt().min()) > SILENT_RMS:
            items.append((torch.from_numpy(whole.mixture[:n_samples]), sources))
    return items[:n_mixtures]
