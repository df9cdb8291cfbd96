"""Training mixtures made on the fly: item number -> (mixture, sources)."""

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from separation.config import MixturesConf
from separation.draw import make_generator
from separation.mixture_set import MixtureSet
from separation.pack import PackedAudio

NOISE_FLOOR = 1e-8


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
    """

    def __init__(
        self,
        audio: PackedAudio,
        n_samples: int,
        conf: MixturesConf,
        seed: int,
        noise: PackedAudio | None = None,
    ) -> None:
        self.audio = audio
        self.noise = noise
        self.n_samples = n_samples
        self.conf = conf
        self.seed = seed
        self.n_parts = conf.n_src + (noise is not None)
        self.n_epoch = audio.n_utterances // conf.n_src

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        parts = self.draw(index)
        mixture = parts.sum(axis=0)
        return torch.from_numpy(mixture), torch.from_numpy(parts[: self.conf.n_src])

    def draw(self, index: int) -> np.ndarray:
        """The sources and, last, the noise of one item, float32 ``(n_parts, time)``."""
        generator = make_generator(self.seed, "train", index)
        conf = self.conf
        team = generator.choice(len(self.audio.speakers), conf.n_src, replace=False)
        parts = np.empty((self.n_parts, self.n_samples), np.float32)
        levels = (conf.loudness_min_lufs, conf.loudness_max_lufs)
        for part, speaker in zip(parts, team, strict=False):
            self._fill(part, generator, self.audio, int(speaker), levels)
        if self.noise is not None:
            levels = (conf.noise_loudness_min_lufs, conf.noise_loudness_max_lufs)
            group = int(generator.integers(len(self.noise.speakers)))
            self._fill(parts[-1], generator, self.noise, group, levels)
        mixture = parts.sum(axis=0)
        peak = max(float(mixture.max()), -float(mixture.min()), NOISE_FLOOR)
        if peak > conf.peak_max:
            parts *= np.float32(conf.peak_max / peak)
        return parts

    @staticmethod
    def _fill(
        part: np.ndarray,
        generator: np.random.Generator,
        audio: PackedAudio,
        speaker: int,
        levels: tuple[float, float],
    ) -> None:
        """Fill ``part`` with speech of one speaker at one loudness for the whole segment."""
        rows = audio.utterances[speaker]
        target, filled = None, 0
        while filled < len(part):
            choice = int(generator.integers(len(rows)))
            row, wanted = rows[choice], len(part) - filled
            start = int(generator.integers(max(1, row.n_samples - wanted + 1)))
            if target is None:
                target = generator.uniform(*levels)
            gain = 10 ** ((target - row.loudness_lufs) / 20)
            piece = audio.read(speaker, choice, start, wanted, gain)
            part[filled : filled + len(piece)] = piece
            filled += len(piece)


class ListedSegments(Dataset):
    """Segments of a fixed training list: every epoch each mixture once, in a new order.

    Item ``i`` is mixture ``order_e[i % n]`` of epoch ``e = i // n``; order and offset depend on
    ``(seed, i)`` alone. A mixture shorter than the segment is padded with zeros.
    """

    def __init__(self, mixtures: MixtureSet, n_samples: int, seed: int) -> None:
        self.mixtures = mixtures
        self.n_samples = n_samples
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
        start = int(generator.integers(max(1, spare + 1)))
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
