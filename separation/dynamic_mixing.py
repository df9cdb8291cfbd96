"""Training mixtures made on the fly: item number -> (mixture, sources)."""

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from separation.config import MixturesConf
from separation.draw import draw_level_db, make_generator
from separation.pack import PackedAudio
from separation.render import Mixture


class DynamicMixtures(Dataset):
    """Endless mixtures of packed utterances.

    Item ``i`` depends on ``(seed, i)`` alone, so the number of workers, an interruption
    and the order of files change nothing. Every item draws new speakers, utterances, offsets and
    levels; a segment longer than an utterance is completed with more of the same speaker.
    """

    def __init__(self, audio: PackedAudio, n_samples: int, conf: MixturesConf, seed: int) -> None:
        self.audio = audio
        self.n_samples = n_samples
        self.conf = conf
        self.seed = seed

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixture ``(time,)`` and sources ``(n_src, time)``, float32."""
        generator = make_generator(self.seed, "train", index)
        team = generator.choice(len(self.audio.speakers), self.conf.n_src, replace=False)
        sources = np.stack([self._draw_source(generator, speaker) for speaker in team])
        peak = np.abs(sources.sum(axis=0)).max()
        sources *= min(1.0, self.conf.peak_max / max(peak, 1e-8))
        tensor = torch.from_numpy(sources)
        return tensor.sum(dim=0), tensor

    def _draw_source(self, generator: np.random.Generator, speaker: int) -> np.ndarray:
        rows = self.audio.utterances[speaker]
        source = np.empty(self.n_samples, np.float32)
        filled, level = 0, None
        while filled < self.n_samples:
            choice = int(generator.integers(len(rows)))
            row, wanted = rows[choice], self.n_samples - filled
            start = int(generator.integers(max(1, row.n_samples - wanted + 1)))
            piece = self.audio.read(speaker, choice, start, wanted)
            if level is None:  # one loudness for the whole segment
                level = row.loudness_lufs + draw_level_db(generator, row.loudness_lufs, self.conf)
            gain = 10 ** ((level - row.loudness_lufs) / 20)
            source[filled : filled + len(piece)] = piece * np.float32(gain)
            filled += len(piece)
        return source


class FixedMixtures(Dataset):
    """Rendered mixtures as they are: whole, none dropped, always in the same order."""

    def __init__(self, mixtures: list[Mixture]) -> None:
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
