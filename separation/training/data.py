"""Batches by the number of the step, and each process's share of them."""

import contextlib
import itertools
import logging
import signal
from collections.abc import Generator, Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from separation.config.training import TrainingConf
from separation.mixtures.dataset import MixtureSet
from separation.mixtures.dynamic.device import DeviceMixer
from separation.mixtures.dynamic.host import DynamicMixtures, FixedMixtures

Batch = tuple[torch.Tensor, torch.Tensor]

SIGTERM_PATIENCE_S = 20

logger = logging.getLogger(__name__)


class StepItems(Sampler[int]):
    """Item numbers, counted over the whole training, of one process from a step on.

    Step ``s`` takes items ``s * batch_size`` to ``(s + 1) * batch_size - 1``, whatever the number
    of processes; process ``rank`` of ``world`` takes every ``world``-th of them.

    >>> list(itertools.islice(StepItems(first_step=1, batch_size=4, rank=1, world=2), 4))
    [5, 7, 9, 11]
    """

    def __init__(self, first_step: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        assert batch_size % world == 0
        self.first = first_step * batch_size + rank
        self.world = world

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first, self.world)


def count_steps(conf: TrainingConf, n_items: int) -> int:
    """Steps of an epoch.

    Args:
        conf: training config.
        n_items: of the training list, which count where ``epoch_mixtures`` is 0.
    """
    return max(1, (conf.epoch_mixtures or n_items) // conf.batch_size)


def open_mixer(
    conf: TrainingConf, segments: Dataset, rank: int, world: int, device: torch.device
) -> DeviceMixer | None:
    """What mixes on the device where ``training.mixing`` says so; None: the host does.

    It takes its part of a GPU's memory now, so that the batch is fitted into the rest.
    """
    if conf.mixing == "host" or (conf.mixing == "auto" and device.type != "cuda"):
        return None
    if not isinstance(segments, DynamicMixtures):
        if conf.mixing == "device":
            logger.warning("training.mixing=device: a fixed list of mixtures is read by the host")
        return None
    return DeviceMixer(segments, conf.batch_size, device, rank=rank, world=world)


def open_batches(
    conf: TrainingConf,
    segments: Dataset,
    first_step: int,
    rank: int,
    world: int,
    device: torch.device,
    mixer: DeviceMixer | None = None,
) -> Generator[Batch, None, None]:
    """Endless batches from step ``first_step`` on: this process's share of each.

    Args:
        conf: training config.
        segments: item number -> mixture ``(time,)`` and sources ``(n_src, time)``.
        first_step: counted over the whole training.
        rank: of this process.
        world: number of processes.
        device: of the model; to a GPU batches come from memory that it can copy without waiting.
        mixer: makes the batches where they are mixed on the device.

    Yields:
        mixtures ``(batch, time)`` and sources ``(batch, n_src, time)``.
    """
    if mixer is not None:
        with contextlib.closing(mixer.batches(first_step)) as mixed:
            yield from mixed
        return
    loader = DataLoader(
        segments,
        batch_size=conf.batch_size // world,
        sampler=StepItems(first_step, conf.batch_size, rank, world),
        num_workers=conf.num_workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals_to_parent,
    )
    batches = iter(loader)
    try:
        yield from batches
    finally:
        del batches  # ends the workers now, whatever still refers to this generator


def open_dev(conf: TrainingConf, dev: MixtureSet, numbers: list[int]) -> DataLoader:
    """The dev mixtures of these numbers, whole."""
    return DataLoader(
        FixedMixtures(dev),
        batch_size=1,
        sampler=numbers,
        num_workers=conf.num_workers,
        worker_init_fn=_leave_signals_to_parent,
    )


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM reach the workers too; they go on until the checkpoint is written."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # but not for ever: the parent may be gone, or may itself want them to end
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SIGTERM_PATIENCE_S))
