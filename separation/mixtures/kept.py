"""Mixtures kept in memory: as 16-bit samples where that is all that they hold, and if they fit."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from separation.audio.pcm16 import to_float
from separation.mixtures.signals import Mixture

MEMORY_SHARE = 0.25  # of what is available, that kept mixtures may take
MEMORY_FILE = Path("/proc/meminfo")
# cgroup v2: what a container may use, and uses
LIMIT_FILE, USED_FILE = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


class KeptMixture:
    """One mixture, its samples in half the memory, with no bit lost.

    Rendered mixtures hold what 16-bit WAV files would. Others, such as resampled ones, stay as they
    are.
    """

    def __init__(self, mixture: Mixture) -> None:
        noise = mixture.noise
        self._stored = dataclasses.replace(
            mixture,
            mixture=shrink(mixture.mixture),
            sources=shrink(mixture.sources),
            noise=None if noise is None else shrink(noise),
        )

    @property
    def n_bytes(self) -> int:
        """Of its samples."""
        stored = self._stored
        signals = [stored.mixture, stored.sources, stored.noise]
        return sum(signal.nbytes for signal in signals if signal is not None)

    def open(self) -> Mixture:
        """The mixture, in float32."""
        stored = self._stored
        return dataclasses.replace(
            stored,
            mixture=_widen(stored.mixture),
            sources=_widen(stored.sources),
            noise=None if stored.noise is None else _widen(stored.noise),
        )


def shrink(samples: np.ndarray) -> np.ndarray:
    """The samples as int16 where these are all that they hold, else as they are.

    >>> shrink(np.float32([0.5, -1])).dtype, shrink(np.float32([0.3])).dtype
    (dtype('int16'), dtype('float32'))
    """
    wide = samples * np.float32(2.0**15)
    whole = np.rint(wide)
    fits = samples.dtype == np.float32 and np.array_equal(whole, wide)
    if fits and len(wide) and whole.min() >= -(2.0**15) and whole.max() < 2.0**15:
        return whole.astype(np.int16)
    return samples


def _widen(samples: np.ndarray) -> np.ndarray:
    return to_float(samples) if samples.dtype == np.int16 else samples


def fits_memory(tried: Iterable[KeptMixture], n_mixtures: int) -> bool:
    """Whether so many mixtures, of the size of those tried, take a small part of the memory."""
    sizes = [mixture.n_bytes for mixture in tried]
    if not sizes:
        return False
    return float(np.mean(sizes)) * n_mixtures <= measure_budget()


def measure_budget() -> float:
    """Bytes that kept mixtures may take."""
    return MEMORY_SHARE * measure_memory()


def measure_memory() -> float:
    """Bytes that this process could still use, of the machine's or its container's memory."""
    free = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if MEMORY_FILE.is_file():
        lines = MEMORY_FILE.read_text(encoding="utf-8").splitlines()
        values = {name: rest.split()[0] for name, rest in (line.split(":") for line in lines)}
        free = 1024.0 * float(values.get("MemAvailable", free / 1024))
    if LIMIT_FILE.is_file() and USED_FILE.is_file():
        limit = LIMIT_FILE.read_text(encoding="utf-8").strip()
        if limit.isdigit():
            free = min(free, float(limit) - float(USED_FILE.read_text(encoding="utf-8")))
    return free
