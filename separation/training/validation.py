"""Validation: mean loss and SI-SDRi of the dev set, shared over the processes."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from separation.config.training import TrainingConf
from separation.mixtures.dataset import MixtureDataset
from separation.models.inference import JOINED_SAMPLES, group_lengths
from separation.training.data import Batch, choose_dev, open_dev
from separation.training.distributed import Distributed, SignalWatch, Stopped
from separation.training.loss import make_pit_loss
from separation.training.module import SeparationModule


@dataclass(frozen=True)
class DevScores:
    """Means over the dev mixtures.

    Attributes:
        loss: ``training.loss`` in dB of the best permutation.
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
        numbers = choose_dev(conf, len(dev))
        self.n_mixtures = len(numbers)
        share = numbers[distributed.rank :: distributed.world_size]
        self._loader = open_dev(conf, dev, share, distributed)
        self._is_si_sdr = conf.loss == "si_sdr" and not conf.loss_ceiling
        self._negative_si_sdr = make_pit_loss("si_sdr")  # scores, whatever is trained with
        self._of_mixtures: float | None = None  # negative SI-SDR of the unprocessed mixtures

    def score(self, module: SeparationModule, watch: SignalWatch) -> DevScores:
        """Mean scores of the module's weights.

        Raises:
            Stopped: a signal came.
        """
        # loss and negative SI-SDR of the estimates, negative SI-SDR of the mixtures as they are;
        # float64 as sums of thousands
        sums = torch.zeros(3, dtype=torch.float64, device=module.device)
        with module.evaluating():
            for group in self._group(self._take_turns(watch), module.separator.n_at_once):
                sums += self._score_group(module, group)
        means = (self.distributed.all_reduce_sum(sums) / self.n_mixtures).tolist()
        if self._of_mixtures is None:
            self._of_mixtures = means[2]
        return DevScores(means[0], self._of_mixtures - means[1])

    @staticmethod
    def _group(items: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
        while group := list(itertools.islice(items, size)):
            yield group

    def _score_group(self, module: SeparationModule, group: list[Batch]) -> torch.Tensor:
        """Sums over mixtures that are separated together, and scored with those of like length."""
        items = [[part[0].to(module.device) for part in item] for item in group]
        estimates = module.separator.separate([mixture for mixture, _ in items])
        sums = torch.zeros(3, dtype=torch.float64, device=module.device)
        for places in group_lengths([len(mixture) for mixture, _ in items], JOINED_SAMPLES):
            mixtures, sources = zip(*(items[place] for place in places), strict=True)
            found = [estimates[place] for place in places]
            sums += self._sum_scores(module, mixtures, sources, found)
        return sums

    def _sum_scores(
        self,
        module: SeparationModule,
        mixtures: Sequence[torch.Tensor],
        sources: Sequence[torch.Tensor],
        estimates: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Sums of the scores of some mixtures, all in one: a loss is 40 kernels of a GPU."""
        targets = join_signals(sources)
        found = join_signals(estimates)
        loss = module.pit_loss(found, targets)
        unprocessed = loss.new_zeros(())
        if self._of_mixtures is None:
            pairs = zip(mixtures, sources, strict=True)
            copies = join_signals([mixture.expand_as(own) for mixture, own in pairs])
            unprocessed = self._negative_si_sdr(copies, targets)
        negative = loss if self._is_si_sdr else self._negative_si_sdr(found, targets)
        return len(mixtures) * torch.stack([loss, negative, unprocessed]).double()

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


def join_signals(signals: Sequence[torch.Tensor]) -> torch.Tensor:
    """Signals ``(n_src, time)`` of any lengths as one batch, for losses that take means off first.

    Of unlike lengths each is without its mean, and zeros fill it up: they change no inner product.

    Returns:
        ``(batch, n_src, longest)``.
    """
    if len({signal.shape[-1] for signal in signals}) == 1:
        return torch.stack(list(signals))
    centred = [(signal - signal.mean(-1, keepdim=True)).t() for signal in signals]
    return nn.utils.rnn.pad_sequence(centred, batch_first=True).transpose(1, 2)
