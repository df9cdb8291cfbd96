"""Training batches by the number of the step, and each process's share of them."""

import contextlib
import itertools
import logging
import multiprocessing
import signal
from collections.abc import Generator, Iterator

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from separation.config.training import TrainingConf
from separation.jobs import spread_evenly
from separation.mixtures.dataset import MixtureDataset
from separation.mixtures.dynamic.device import DeviceMixer
from separation.mixtures.dynamic.host import DynamicMixtures, FixedMixtures
from separation.training.distributed import Process

Batch = tuple[torch.Tensor, torch.Tensor]

SIGTERM_PATIENCE_S = 20

logger = logging.getLogger(__name__)


class StepItems(Sampler[int]):
    """Item numbers, counted over the whole run, of one process from a step on.

    Step ``s`` takes items ``s * batch_size`` to ``(s + 1) * batch_size - 1``, whatever the number
    of processes; process ``rank`` takes every ``world_size``-th of them.

    >>> list(itertools.islice(StepItems(first_step=1, batch_size=4, rank=1, world_size=2), 4))
    [5, 7, 9, 11]
    """

    def __init__(self, first_step: int, batch_size: int, rank: int, world_size: int) -> None:
        assert batch_size % world_size == 0
        self.first = first_step * batch_size + rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first, self.world_size)


def count_steps(conf: TrainingConf, n_items: int) -> int:
    """Steps of an epoch.

    Args:
        conf: training config.
        n_items: of the training list, which count where ``epoch_mixtures`` is 0.
    """
    return max(1, (conf.epoch_mixtures or n_items) // conf.batch_size)


def open_mixer(conf: TrainingConf, segments: Dataset, process: Process) -> DeviceMixer | None:
    """The mixer on the device, where ``training.mixing`` says so; None: the host mixes.

    It takes its part of a GPU's memory now, so that the batch is fitted into the rest.
    """
    if conf.mixing == "host" or (conf.mixing == "auto" and process.device.type != "cuda"):
        return None
    if not isinstance(segments, DynamicMixtures):
        if conf.mixing == "device":
            logger.warning("training.mixing=device: a fixed list of mixtures is read by the host")
        return None
    return DeviceMixer(
        segments, conf.batch_size, process.device, rank=process.rank, world=process.world_size
    )


def open_batches(
    conf: TrainingConf,
    segments: Dataset,
    first_step: int,
    process: Process,
    mixer: DeviceMixer | None = None,
) -> Generator[Batch, None, None]:
    """Endless batches from step ``first_step`` on: this process's share of each.

    Args:
        conf: training config.
        segments: item number -> mixture ``(time,)`` and sources ``(n_src, time)``.
        first_step: counted over the whole run.
        process: this one; to its GPU batches come from memory that it can copy without waiting.
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
        batch_size=conf.batch_size // process.world_size,
        sampler=StepItems(first_step, conf.batch_size, process.rank, process.world_size),
        num_workers=conf.num_workers,
        pin_memory=process.device.type == "cuda",
        worker_init_fn=_leave_signals_to_parent,
        multiprocessing_context=choose_start_method(process) if conf.num_workers else None,
    )
    batches = iter(loader)
    try:
        yield from batches
    finally:
        del batches  # ends the workers now, whatever still refers to this generator


def choose_dev(conf: TrainingConf, n_mixtures: int) -> list[int]:
    """The dev mixtures that are scored after an epoch: all, or ``training.dev_mixtures``."""
    return spread_evenly(n_mixtures, conf.dev_mixtures or n_mixtures)


def open_dev(
    conf: TrainingConf, dev: MixtureDataset, numbers: list[int], process: Process
) -> DataLoader:
    """The dev mixtures of these numbers, whole; no workers where they are in memory."""
    in_memory = isinstance(dev, MixtureDataset) and dev.holds(numbers)
    n_workers = 0 if in_memory else conf.num_workers
    return DataLoader(
        FixedMixtures(dev),
        batch_size=1,
        sampler=numbers,
        num_workers=n_workers,
        worker_init_fn=_leave_signals_to_parent,
        multiprocessing_context=choose_start_method(process) if n_workers else None,
    )


def choose_start_method(process: Process) -> str | None:
    """How workers start; not by fork beside NCCL, whose threads a fork may leave in a deadlock."""
    if process.world_size == 1 or process.device.type != "cuda":
        return None
    # imported once, by the server that is forked, and not by every worker of every epoch
    multiprocessing.set_forkserver_preload([__name__])
    return "forkserver"


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM reach the workers too; they go on until the checkpoint is written."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # but not for ever: the parent may be gone, or may itself want them to end
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SIGTERM_PATIENCE_S))
