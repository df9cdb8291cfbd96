"""Validation: mean loss and SI-SDRi of the dev set, shared over the processes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tqdm import tqdm

from separation.config.training import TrainingConf
from separation.jobs import spread_evenly
from separation.mixtures.dataset import MixtureDataset
from separation.training.data import Batch, open_dev
from separation.training.distributed import Distributed, SignalWatch, Stopped
from separation.training.module import SeparationModule


@dataclass(frozen=True)
class DevScores:
    """Means over the dev mixtures.

    Attributes:
        loss: negative SI-SDR in dB of the best permutation.
        si_sdri: SI-SDR less that of the mixture, in dB.
    """

    loss: float
    si_sdri: float


class Validator:
    """Scores dev mixtures, all or ``training.dev_mixtures``, each whole and in one process.

    Args:
        conf: training config.
        dev: all mixtures.
        distributed: the processes, which take turns.
    """

    def __init__(self, conf: TrainingConf, dev: MixtureDataset, distributed: Distributed) -> None:
        self.distributed = distributed
        numbers = spread_evenly(len(dev), conf.dev_mixtures or len(dev))
        self.n_mixtures = len(numbers)
        self._loader = open_dev(conf, dev, numbers[distributed.rank :: distributed.world_size])
        self._mixtures_loss: float | None = None  # of the unprocessed mixtures

    def score(self, module: SeparationModule, watch: SignalWatch) -> DevScores:
        """Mean scores of the module's weights.

        Raises:
            Stopped: a signal came.
        """
        # losses of the estimates, and of the mixtures as they are; float64 as sums of thousands
        sums = torch.zeros(2, dtype=torch.float64, device=module.device)
        with module.evaluating():
            for mixture, sources in self._take_turns(watch):
                mixture, sources = mixture.to(module.device), sources.to(module.device)
                sums[0] += module.pit_loss(module.separate(mixture), sources)
                if self._mixtures_loss is None:
                    copies = mixture[:, None].expand_as(sources)
                    sums[1] += module.pit_loss(copies, sources)
        loss, mixtures_loss = (self.distributed.all_reduce_sum(sums) / self.n_mixtures).tolist()
        if self._mixtures_loss is None:
            self._mixtures_loss = mixtures_loss
        return DevScores(loss, self._mixtures_loss - loss)

    def _take_turns(self, watch: SignalWatch) -> Iterator[Batch]:
        """This process's mixtures; all processes ask about signals equally often."""
        items = iter(self._loader)
        turns = range(math.ceil(self.n_mixtures / self.distributed.world_size))
        bar = tqdm(
            turns, "validation", leave=False, disable=not self.distributed.is_first, miniters=20
        )
        try:
            for _ in bar:
                (number,) = self.distributed.all_reduce_max([watch.number])
                if number:
                    raise Stopped(int(number))
                item = next(items, None)
                if item is not None:
                    yield item
        finally:
            del items  # ends its workers
