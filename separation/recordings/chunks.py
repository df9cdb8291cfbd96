"""A recording through a model, chunk by chunk: the order of voices, and going on after a kill."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from separation.errors import UserError
from separation.files import write_whole
from separation.models.chunks import CHUNK_S, OVERLAP_S, Joiner, list_starts
from separation.models.inference import Separator, multiply_exactly
from separation.models.precision import has_fast_bf16

CHUNKS_AT_ONCE = 16  # on a GPU
PARTS_AT_ONCE = 16  # between two looks at what a kill would lose
UNSURE = 0.3  # below this lead of the best order over the second, voices may have swapped


def cut_chunks(n_samples: int, rate: int) -> tuple[list[int], int, int]:
    """First samples of the chunks of a recording, their size, and their overlap."""
    size, overlap = round(CHUNK_S * rate), round(OVERLAP_S * rate)
    starts = list_starts(n_samples, size, overlap)
    return starts, n_samples if len(starts) == 1 else size, overlap


def separate_chunks(
    separator: Separator,
    read: Callable[[int, int], np.ndarray],
    chunks: Sequence[tuple[int, int]],
    device: torch.device,
) -> Iterator[np.ndarray]:
    """Estimates ``(n_src, time)`` of each chunk, several at a time through the model on a GPU.

    Args:
        separator: of the model.
        read: first sample and number of samples -> ``(time,)``.
        chunks: their first samples and lengths.
        device: of the model.
    """
    n_at_once = min(CHUNKS_AT_ONCE, separator.n_at_once)
    for first in range(0, len(chunks), n_at_once):
        signals = [read(*chunk) for chunk in chunks[first : first + n_at_once]]
        with torch.inference_mode(), multiply_exactly():
            batch = [torch.from_numpy(np.asarray(s, np.float32)).to(device) for s in signals]
            estimates = [found.cpu().numpy() for found in separator.separate(batch)]
        if not all(np.isfinite(found).all() for found in estimates):
            raise UserError(
                "the model puts out NaN or infinite samples, so its weights or arguments are "
                "damaged; get its file again."
            )
        yield from estimates


def separate_long(
    model: nn.Module, samples: np.ndarray, rate: int, device: torch.device
) -> np.ndarray:
    """Separate ``(time,)`` at the model's rate in memory; returns ``(n_src, time)``."""
    starts, size, overlap = cut_chunks(len(samples), rate)
    joiner = Joiner(overlap=overlap)
    chunks = [(start, size) for start in starts]
    pieces = separate_chunks(
        Separator(model, device), lambda start, n: samples[start : start + n], chunks, device
    )
    bar = tqdm(pieces, "separate", len(chunks), leave=False, unit="chunk", disable=len(chunks) == 1)
    blocks = [joiner.add(piece, is_last=k == len(chunks)) for k, piece in enumerate(bar, 1)]
    return np.concatenate(blocks, axis=1)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a mixture that goes through a model by itself, in samples.

    Attributes:
        start, stop: of what the model sees.
        first, last: of what is kept, within that.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def size(self) -> int:
        """Samples that the model sees."""
        return self.stop - self.start


# of a part: its number, its mixture (time,) and its estimates (n_src, time)
Measurable = tuple[int, np.ndarray, np.ndarray]


@dataclass(kw_only=True)
class StoredEstimates:
    """Separates a stored signal into a stored one, and goes on where it was ended.

    Estimates are raw float32, ``(time, n_src)``. After each chunk ``state`` holds what the next
    one needs; what was written behind it is cut off, so that a kill changes nothing.

    Attributes:
        mixture: raw float32 at the model's rate.
        estimates: raw file, appended to.
        state: the .npz that says how far it has come.
        rate: Hz, of the model.
        n_src: number of voices; 0 before the first chunk.
        leads: see :class:`Joiner`.
    """

    mixture: Path
    estimates: Path
    state: Path
    rate: int
    n_src: int = 0
    leads: list[float] = field(default_factory=list)

    @property
    def n_samples(self) -> int:
        """Of the mixture, at the model's rate."""
        return self.mixture.stat().st_size // 4

    def separate(self, model: nn.Module, device: torch.device, label: str) -> None:
        """Separate what is missing, with a bar that says how long it will take."""
        starts, size, overlap = cut_chunks(self.n_samples, self.rate)
        joiner, first, n_written = self._read_state(overlap)
        chunks = [(start, size) for start in starts[first:]]
        pieces = self.run_model(model, device, chunks)
        with open(self.estimates, "ab") as handle:
            handle.truncate(n_written)
            for done, piece in enumerate(self._watch(pieces, label, first, len(starts)), first + 1):
                block = joiner.add(piece, is_last=done == len(starts))
                handle.write(np.ascontiguousarray(block.T, np.float32).data)
                handle.flush()
                os.fsync(handle.fileno())
                self._write_state(joiner, done, handle.tell(), len(piece))
        self.leads = joiner.leads

    def run_model(
        self, model: nn.Module, device: torch.device, chunks: Sequence[tuple[int, int]]
    ) -> Iterator[np.ndarray]:
        """Estimates of some chunks of the mixture, see :func:`separate_chunks`."""
        separator = Separator(model, device, bf16=device.type == "cpu" and has_fast_bf16(device))
        return separate_chunks(separator, self.read_mixture, chunks, device)

    def separate_parts(
        self,
        model: nn.Module,
        device: torch.device,
        label: str,
        parts: Sequence[Part],
        measure: Callable[[Sequence[Measurable]], np.ndarray],
    ) -> np.ndarray:
        """Separate some parts of the mixture only; the estimates are zero elsewhere.

        Args:
            model, device, label: as of :meth:`separate`.
            parts: in order, of which what is kept does not overlap.
            measure: some parts to a few numbers of each, ``(n, n_numbers)``, stored as well.

        Returns:
            The numbers ``(n_parts, n_numbers)``.
        """
        extents = np.array([(part.start, part.stop) for part in parts]).reshape(-1, 2)
        measured = self._read_measured(extents)
        chunks = [(part.start, part.size) for part in parts[len(measured) :]]
        pieces = self.run_model(model, device, chunks)
        self.n_src = self.n_src or int(getattr(model, "n_src", 2))
        self.estimates.touch()
        waiting: list[Measurable] = []
        with open(self.estimates, "r+b") as handle:
            handle.truncate(4 * self.n_samples * self.n_src)
            first = len(measured)
            for number, piece in enumerate(self._watch(pieces, label, first, len(parts)), first):
                part = parts[number]
                kept = piece[:, part.first - part.start : part.last - part.start]
                handle.seek(4 * part.first * self.n_src)
                handle.write(np.ascontiguousarray(kept.T, np.float32).data)
                waiting.append((number, self.read_mixture(part.start, part.size), piece))
                if len(waiting) == PARTS_AT_ONCE or number + 1 == len(parts):
                    handle.flush()
                    os.fsync(handle.fileno())
                    measured += list(measure(waiting))
                    waiting.clear()
                    self._write_measured(measured, extents)
        return np.array(measured)

    def _write_measured(self, measured: list[np.ndarray], extents: np.ndarray) -> None:
        """What :meth:`_read_measured` reads."""
        with write_whole(self.state) as partial, open(partial, "wb") as state:
            np.savez(state, measured=np.stack(measured), extents=extents)

    def _read_measured(self, extents: np.ndarray) -> list[np.ndarray]:
        """What was stored of these very parts; an earlier version may have chosen others."""
        if not self.state.is_file():
            return []
        with np.load(self.state) as state:
            same = "extents" in state and np.array_equal(state["extents"], extents)
            return list(state["measured"]) if same else []

    @staticmethod
    def _watch(pieces: Iterator, label: str, first: int, n_all: int) -> Iterator:
        return iter(tqdm(pieces, label, n_all, initial=first, unit="chunk", leave=False))

    def read_mixture(self, start: int, n_samples: int) -> np.ndarray:
        """Samples of the mixture, ``(time,)``."""
        return np.fromfile(self.mixture, np.float32, n_samples, offset=4 * start)

    def read_blocks(self, n_samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Mixture ``(time,)`` and estimates ``(n_src, time)``, some samples at a time."""
        for start in range(0, self.n_samples, n_samples):
            yield self.read_mixture(start, n_samples), self.read_estimates(start, n_samples)

    def read_estimates(self, start: int, n_samples: int) -> np.ndarray:
        """Samples of the estimates, ``(n_src, time)``, as many as there are."""
        n_numbers, offset = n_samples * self.n_src, 4 * start * self.n_src
        estimates = np.fromfile(self.estimates, np.float32, n_numbers, offset=offset)
        return estimates.reshape(-1, self.n_src).T

    def _read_state(self, overlap: int) -> tuple[Joiner, int, int]:
        if not self.state.is_file():
            return Joiner(overlap=overlap), 0, 0
        with np.load(self.state) as state:
            if "tail" not in state:  # of parts, by an earlier version
                return Joiner(overlap=overlap), 0, 0
            tail = state["tail"] if state["tail"].size else None
            joiner = Joiner(overlap=overlap, tail=tail, leads=state["leads"].tolist())
            self.n_src = int(state["n_src"])
            return joiner, int(state["n_done"]), int(state["n_written"])

    def _write_state(self, joiner: Joiner, n_done: int, n_written: int, n_src: int) -> None:
        self.n_src = n_src
        tail = np.empty(0, np.float32) if joiner.tail is None else joiner.tail
        with write_whole(self.state) as partial, open(partial, "wb") as handle:
            np.savez(
                handle,
                tail=tail,
                leads=np.array(joiner.leads),
                n_done=np.array(n_done),
                n_written=np.array(n_written),
                n_src=np.array(n_src),
            )
