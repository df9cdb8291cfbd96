"""Training mixtures made on the fly: item number -> (mixture, sources)."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from separation.audio import resample_fast
from separation.config import MixturesConf
from separation.draw import make_generator
from separation.mixture_set import MixtureSet
from separation.pack import PackedAudio

OVERSHOOT = 1.5  # resampling may raise a peak by less than this


class DynamicMixtures(Dataset):
    """Endless mixtures of packed utterances.

    Item ``i`` depends on ``(seed, i)`` alone, so the number of workers, an interruption
    and the order of files change nothing. Every item draws new speakers, utterances, offsets and
    levels, and a noise where there is a noise corpus; a segment longer than an utterance is
    completed with more of the same speaker.

    Args:
        audio: packed utterances of the training speakers.
        n_samples: of an item.
        conf: number of speakers, loudness, peak.
        seed: of all items.
        noise: packed noises, added to the mixture but no source.
        speeds: slowest and fastest, in steps of a hundredth; each source is played at its own.
    """

    def __init__(
        self,
        audio: PackedAudio,
        n_samples: int,
        conf: MixturesConf,
        seed: int,
        noise: PackedAudio | None = None,
        speeds: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.audio = audio
        self.noise = noise
        self.n_samples = n_samples
        self.conf = conf
        self.numbers = ItemNumbers(seed)
        self.n_epoch = audio.n_utterances // conf.n_src
        self._levels = (conf.loudness_min_lufs, conf.loudness_max_lufs)
        self._noise_levels = (conf.noise_loudness_min_lufs, conf.noise_loudness_max_lufs)
        self._speeds = (round(100 * speeds[0]), round(100 * speeds[1]))

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        mixture, parts = self.draw(index)
        return torch.from_numpy(mixture), torch.from_numpy(parts[: self.conf.n_src])

    def draw(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Mixture ``(time,)`` and its parts, the noise last, ``(n_parts, time)``, float32."""
        numbers = self.numbers.of_item(index)
        n_src = self.conf.n_src
        parts = np.empty((n_src + (self.noise is not None), self.n_samples), np.float32)
        bound = 0.0
        team = draw_different(numbers, len(self.audio.speakers), n_src)
        for part, speaker in zip(parts, team, strict=False):
            bound += self._fill_source(part, numbers, speaker)
        if self.conf.train_level_by == "difference":
            bound = self._set_differences(parts[:n_src], numbers)
        if self.noise is not None:
            group = int(next(numbers) * len(self.noise.speakers))
            bound += self._fill(parts[-1], numbers, self.noise, group, self._noise_levels)
        mixture = parts[0] + parts[1]
        for part in parts[2:]:
            mixture += part
        if bound > self.conf.peak_max:  # else it cannot be too loud
            self._limit(mixture, parts)
        return mixture, parts

    def _limit(self, mixture: np.ndarray, parts: np.ndarray) -> None:
        peak = max(float(mixture.max()), -float(mixture.min()))
        if peak > self.conf.peak_max:
            weight = np.float32(self.conf.peak_max / peak)
            mixture *= weight
            parts *= weight

    def _fill_source(self, part: np.ndarray, numbers: Iterator[float], speaker: int) -> float:
        """Speech of one speaker at a speed of its own."""
        low, high = self._speeds
        if low == high == 100:
            return self._fill(part, numbers, self.audio, speaker, self._levels)
        speed = low + int(next(numbers) * (high - low + 1))
        original = np.empty(-(-len(part) * speed // 100), np.float32)
        bound = self._fill(original, numbers, self.audio, speaker, self._levels)
        part[:] = resample_fast(original, speed, 100)[: len(part)]
        return bound * OVERSHOOT

    def _set_differences(self, sources: np.ndarray, numbers: Iterator[float]) -> float:
        """Scale all but the first source to a drawn difference of power; returns a peak bound."""
        low = self.conf.train_level_difference_min_db
        high = self.conf.train_level_difference_max_db
        first = float(np.dot(sources[0], sources[0]))
        for source in sources[1:]:
            difference_db = low + next(numbers) * (high - low)
            power = float(np.dot(source, source))
            if first > 0 and power > 0:  # a silent pause has no level
                source *= np.float32((first / power) ** 0.5 * 10 ** (-difference_db / 20))
        return float(np.abs(sources).max(axis=1).sum())

    @staticmethod
    def _fill(
        part: np.ndarray,
        numbers: Iterator[float],
        audio: PackedAudio,
        speaker: int,
        levels: tuple[float, float],
    ) -> float:
        """Fill ``part`` with speech of one speaker at one loudness; returns a bound of its peak."""
        rows = audio.utterances[speaker]
        target = levels[0] + next(numbers) * (levels[1] - levels[0])
        filled, bound, n_samples = 0, 0.0, len(part)
        while filled < n_samples:
            choice = int(next(numbers) * len(rows))
            row, wanted = rows[choice], n_samples - filled
            start = int(next(numbers) * max(1, row.n_samples - wanted + 1))
            stop = min(start + wanted, row.n_samples)
            gain = 10 ** ((target - row.loudness_lufs) / 20)
            bound = max(bound, gain * row.peak)
            piece = part[filled : filled + stop - start]
            audio.read_into(piece, speaker, choice, start, gain)
            filled += stop - start
        return bound


class ItemNumbers:
    """Uniform random numbers of an item, from ``(seed, item)`` alone.

    Setting up a generator takes longer than mixing, so one serves a block of items; an item that
    needs more numbers than its share goes on with a generator of its own.
    """

    BLOCK, SHARE = 256, 32

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._block: tuple[int, np.ndarray] = (-1, np.empty(0))

    def of_item(self, index: int) -> Iterator[float]:
        """Endless numbers in [0, 1)."""
        block, place = divmod(index, self.BLOCK)
        if self._block[0] != block:
            generator = make_generator(self.seed, "train", block)
            self._block = (block, generator.random((self.BLOCK, self.SHARE)))
        share = self._block[1][place].tolist()
        return itertools.chain(share, self._go_on(index))

    def _go_on(self, index: int) -> Iterator[float]:
        generator = make_generator(self.seed, "train/more", index)
        while True:
            yield from generator.random(self.SHARE).tolist()


def draw_different(numbers: Iterator[float], n: int, count: int) -> list[int]:
    """``count`` different whole numbers below ``n``, all sets equally likely.

    >>> draw_different(iter([0.0, 0.0, 0.99]), 3, 3)
    [0, 1, 2]
    """
    chosen: list[int] = []
    for taken in range(count):
        number = int(next(numbers) * (n - taken))
        for other in sorted(chosen):
            number += number >= other
        chosen.append(number)
    return chosen


class ListedSegments(Dataset):
    """Segments of a fixed training list: every epoch each mixture once, in a new order.

    Item ``i`` is mixture ``order_e[i % n]`` of epoch ``e = i // n``; order and offset depend on
    ``(seed, i)`` alone; without ``random_crop`` the offset is 0. A mixture shorter than the
    segment is padded with zeros.
    """

    def __init__(
        self, mixtures: MixtureSet, n_samples: int, seed: int, *, random_crop: bool = True
    ) -> None:
        self.mixtures = mixtures
        self.n_samples = n_samples
        self.random_crop = random_crop
        self.seed = seed
        self.n_epoch = len(mixtures)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        epoch, place = divmod(index, len(self.mixtures))
        if self._order[0] != epoch:
            generator = make_generator(self.seed, "order", epoch)
            self._order = (epoch, generator.permutation(len(self.mixtures)))
        mixture = self.mixtures[int(self._order[1][place])]
        signals = np.concatenate([mixture.mixture[None], mixture.sources])
        spare = signals.shape[1] - self.n_samples
        if spare < 0:
            signals = np.pad(signals, ((0, 0), (0, -spare)))
        generator = make_generator(self.seed, "offset", index)
        start = int(generator.integers(max(1, spare + 1))) if self.random_crop else 0
        segment = torch.from_numpy(signals[:, start : start + self.n_samples].copy())
        return segment[0], segment[1:]


class FixedMixtures(Dataset):
    """Fixed mixtures as they are: whole, none dropped, always in the same order."""

    def __init__(self, mixtures: MixtureSet) -> None:
        self.mixtures = mixtures

    def __len__(self) -> int:
        return len(self.mixtures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        mixture = self.mixtures[index]
        return torch.from_numpy(mixture.mixture), torch.from_numpy(mixture.sources)


class RunningSampler(Sampler[int]):
    """Item numbers counted over the whole training: epoch ``e`` gives ``e*n .. (e+1)*n - 1``."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch, a resumed one too."""
        self.epoch = epoch

    def __iter__(self):
        return iter(range(self.epoch * self.n_items, (self.epoch + 1) * self.n_items))

    def __len__(self) -> int:
        return self.n_items
