"""Training batches mixed on the device, to the numbers of :class:`DynamicMixtures`' items."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from separation.corpora.pack import PackedAudio
from separation.errors import UserError
from separation.mixtures.dynamic.device_speed import SpeedChanger
from separation.mixtures.dynamic.equalizer import N_BANDS, equalize
from separation.mixtures.dynamic.host import DynamicMixtures
from separation.mixtures.dynamic.plans import ItemPlan, PartPlan
from separation.mixtures.dynamic.sample_store import LEAVE_FREE, choose_store

T = TypeVar("T")

AHEAD = 4  # batches planned before they are needed
ENDLESS = 1 << 40  # batches


class BatchPlan(NamedTuple):
    """What a batch is made of, as few tensors; pinned where the device is CUDA.

    The signals (all sources of all items, then all noises) lie end to end, as do their pieces.
    """

    pieces: torch.Tensor  # int64 (2, n_pieces): length; place in the store less place in the batch
    gains: torch.Tensor  # float32 (n_pieces,), on 16-bit samples
    signals: torch.Tensor  # int64 (3, n_signals): first sample, length, speed
    level_factors: torch.Tensor  # float32 (batch, n_src): amplitudes after equal power; or empty
    curves_db: torch.Tensor  # float32 (batch * n_src, bands) of the equalizers; or empty
    samples: torch.Tensor  # int16: the pieces themselves; empty where the store is on the device
    n_samples: int  # of all pieces, known here so that the device is never waited for

    def to(self, device: torch.device) -> "BatchPlan":
        """The same plan there, without waiting for the copies."""
        names = ("pieces", "gains", "signals", "level_factors", "curves_db", "samples")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return self._replace(**moved)


class DeviceMixer:
    """Makes batches of training mixtures on a torch device, the items of ``mixtures``.

    Batch ``b`` holds items ``b*batch_size .. (b+1)*batch_size - 1``, equal to those of
    ``mixtures`` to float32's rounding. The host draws the numbers, in a thread of its own and some
    batches ahead; the device gathers, scales, changes speed, sets levels, adds noise and limits
    peaks. Nothing waits for the device.

    Args:
        mixtures: the items.
        batch_size: items of a global batch.
        device: cpu or cuda.
        keep: where the samples lie: ``auto`` (on CUDA where they fit), ``device`` or ``host``.
        leave_free: share of the device's free memory that the samples must leave.
        rank: of this process; it makes items ``rank, rank + world, ...`` of each global batch.
        world: number of processes.

    Raises:
        UserError: the batch cannot be shared equally, or ``keep`` cannot be.
    """

    def __init__(
        self,
        mixtures: DynamicMixtures,
        batch_size: int,
        device: torch.device,
        *,
        keep: str = "auto",
        leave_free: float = LEAVE_FREE,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size % world:
            raise UserError(
                f"training.batch_size={batch_size} cannot be shared by {world} processes; "
                f"use a multiple of {world}."
            )
        self.mixtures, self.batch_size, self.device = mixtures, batch_size, device
        self.rank, self.world = rank, world
        packs = [mixtures.audio, *([mixtures.noise] if mixtures.noise else [])]
        self.store = choose_store(packs, device, keep, leave_free)
        self._index = _PieceIndex(packs)
        speeds = mixtures.plans.speeds
        self._changer = (
            None if speeds == (100, 100) else SpeedChanger(speeds, mixtures.n_samples, device)
        )

    def batches(
        self, first_batch: int, n_batches: int = ENDLESS
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Batches by their number, counted over the whole training.

        Yields:
            mixtures ``(batch_size / world, time)`` and sources ``(.., n_src, time)``, float32, on
            the device.
        """
        numbers = range(first_batch, first_batch + n_batches)
        with contextlib.closing(run_ahead(self.plan_batch, numbers, AHEAD)) as plans:
            for plan in plans:
                yield self.mix(plan.to(self.device))

    def plan_batch(self, batch: int) -> BatchPlan:
        """This process's part of a batch, on the host."""
        if self.device.index is not None:
            torch.cuda.set_device(self.device)  # else a thread's pinned memory belongs to GPU 0
        first, size = batch * self.batch_size, self.batch_size
        items = range(first + self.rank, first + size, self.world)
        plans = [self.mixtures.plan(item) for item in items]
        signals = [source for plan in plans for source in plan.sources]
        noises = [plan.noise for plan in plans if plan.noise is not None]
        firsts, lengths, gains = self._index.find(signals, noises)
        n_samples = int(lengths.sum())
        samples = self._allocate(0 if self.store.is_on_device else n_samples, torch.int16)
        if not self.store.is_on_device:
            self.store.gather(firsts, lengths, samples.numpy())
        ends = np.cumsum(lengths)
        return BatchPlan(
            self._pin(np.stack([lengths, firsts - (ends - lengths)])),
            self._pin(gains),
            self._pin(self._place_signals(signals + noises)),
            self._pin(_find_factors(plans)),
            self._pin(_find_curves(signals)),
            samples,
            n_samples,
        )

    def _place_signals(self, signals: list[PartPlan]) -> np.ndarray:
        speeds = np.array([signal.speed for signal in signals], np.int64)
        lengths = -(-self.mixtures.n_samples * speeds // 100)
        return np.stack([np.cumsum(lengths) - lengths, lengths, speeds])

    def _allocate(self, size: tuple[int, ...] | int, dtype: torch.dtype) -> torch.Tensor:
        # Pinned memory comes from torch's cache, which waits for a copy before it gives it again.
        return torch.empty(size, dtype=dtype, pin_memory=self.device.type == "cuda")

    def _pin(self, array: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(array)
        return self._allocate(array.shape, values.dtype).copy_(values)

    @torch.no_grad()
    def mix(self, plan: BatchPlan) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixtures ``(batch, time)`` and sources ``(batch, n_src, time)``; the plan is there."""
        signals = self._make_signals(plan)
        n_src, n_samples = self.mixtures.conf.n_src, self.mixtures.n_samples
        n_items = len(signals) // (n_src + (self.mixtures.noise is not None))
        sources = signals[: n_items * n_src].view(n_items, n_src, n_samples)
        if plan.curves_db.numel():
            rate = self.mixtures.audio.sample_rate
            sources = equalize(sources.flatten(0, 1), plan.curves_db, rate).view_as(sources)
        if plan.level_factors.numel():
            sources = sources * _balance(sources, plan.level_factors)
        # Added one after the other, as DynamicMixtures does: a sum has an order of its own.
        mixtures = sources[:, 0] + sources[:, 1]
        for k in range(2, n_src):
            mixtures += sources[:, k]
        if self.mixtures.noise is not None:
            mixtures += signals[n_items * n_src :]
        peaks = mixtures.abs().amax(dim=1)
        limit = self.mixtures.conf.peak_max
        weights = torch.where(peaks > limit, limit / peaks, 1.0)
        return mixtures * weights[:, None], sources * weights[:, None, None]

    def _make_signals(self, plan: BatchPlan) -> torch.Tensor:
        """All signals of a batch at their own speeds and gains, ``(n_signals, time)``."""
        lengths, shifts = plan.pieces
        piece = torch.repeat_interleave(lengths, output_size=plan.n_samples)
        samples = plan.samples
        if self.store.is_on_device:
            places = torch.arange(plan.n_samples, device=self.device)
            samples = self.store.look_up(places + shifts[piece])
        scaled = samples * plan.gains[piece]
        if self._changer is None:
            return scaled.view(-1, self.mixtures.n_samples)
        return self._changer.change(scaled, *plan.signals)


class _PieceIndex:
    """Where the utterances of packs lie, all laid end to end, and the scale of their samples."""

    def __init__(self, packs: list[PackedAudio]) -> None:
        speakers = [rows for pack in packs for rows in pack.utterances]
        lengths = [sum(row.n_samples for row in rows) for rows in speakers]
        begins = np.cumsum([0, *lengths])[:-1].tolist()
        # Row of a speaker's first utterance; the noises' groups follow the speakers.
        self._rows = np.cumsum([0, *map(len, speakers)])[:-1]
        self._n_speakers = len(packs[0].speakers)
        self._firsts = np.array(
            [b + row.offset for b, rows in zip(begins, speakers, strict=True) for row in rows],
            np.int64,
        )
        self._scales = np.array([row.scale for rows in speakers for row in rows], np.float32)

    def find(
        self, sources: list[PartPlan], noises: list[PartPlan]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First sample, length and gain (on 16-bit samples, float32) of every piece, in order."""
        speech = list(chain.from_iterable(part.pieces for part in sources))
        noise = list(chain.from_iterable(part.pieces for part in noises))
        table = np.array(speech + noise, np.float64)  # exact: all whole numbers are below 2^53
        speakers, utterances, starts, lengths = table[:, :4].T.astype(np.int64)
        speakers[len(speech) :] += self._n_speakers
        rows = self._rows[speakers] + utterances
        gains = table[:, 4].astype(np.float32) * self._scales[rows]
        return self._firsts[rows] + starts, lengths, gains


def _find_factors(plans: list[ItemPlan]) -> np.ndarray:
    """Amplitudes that give sources of equal power the drawn differences; empty: none drawn."""
    differences = np.array([[0.0, *plan.differences_db] for plan in plans])
    if differences.shape[1] == 1:
        return np.empty((0, 0), np.float32)
    return (10 ** (-differences / 20)).astype(np.float32)


def _find_curves(sources: list[PartPlan]) -> np.ndarray:
    """Gains of the sources' equalizers, dB; empty: there are none."""
    curves = [source.curve_db for source in sources if source.curve_db]
    return np.array(curves, np.float32).reshape(-1, N_BANDS)


def _balance(sources: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Factors ``(batch, n_src, 1)`` for the drawn differences of power; silence has no level."""
    powers = sources.double().square().sum(dim=2)
    first = powers[:, :1]
    ratios = torch.where((first > 0) & (powers > 0), first / powers, 1.0).sqrt()
    scales = torch.where((first > 0) & (powers > 0), ratios * factors, 1.0)
    return scales.float()[:, :, None]


def run_ahead(work: Callable[[int], T], numbers: range, ahead: int) -> Generator[T, None, None]:
    """``work(number)`` of every number, in order, at most ``ahead`` of them before they are asked.

    A thread does the work; it ends with the iterator, and its error is raised here.
    """
    waiting: queue.Queue[T | BaseException] = queue.Queue(ahead)
    closed = threading.Event()

    def give(result: T | BaseException) -> None:
        while not closed.is_set():
            try:
                waiting.put(result, timeout=0.1)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for number in numbers:
                if closed.is_set():
                    return
                give(work(number))
        except BaseException as error:  # raised again by the one who waits
            give(error)

    thread = threading.Thread(target=produce, name="plan-batches", daemon=True)
    thread.start()
    try:
        for _ in numbers:
            result = waiting.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        closed.set()
        thread.join()
