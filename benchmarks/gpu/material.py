"""Audio for the throughput benchmark: packed speakers, and batches of them on the device."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from benchmarks.gpu.settings import Settings
from benchmarks.voices import pack_folder, write_voices
from separation.mixtures.dynamic.host import DynamicMixtures


@dataclass
class Material:
    """Mixtures that stage 4 mixes anew, of speakers that are packed once, below ``folder``.

    Attributes:
        speech: real recordings in folders by speaker; None: made-up voices.
    """

    settings: Settings
    folder: Path
    speech: Path | None = None

    @cached_property
    def training(self) -> DynamicMixtures:
        """Endless mixtures by number."""
        root, settings = self.speech, self.settings
        if root is None:
            root = self.folder / "voices"
            sizes = (settings.n_speakers, settings.n_utterances, settings.utterance_s)
            write_voices(root, *sizes, settings.sample_rate)
        packs = self.folder / "packed"
        audio = pack_folder(root, packs, settings.sample_rate, settings.n_speakers)
        conf = settings.confs["small"].mixtures
        return DynamicMixtures(audio, settings.n_samples, conf, settings.seed)

    def make_batches(
        self, batch: int, device: torch.device
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """A few batches on the device, in turn and for ever."""
        sampler = range(batch * self.settings.n_buffers)
        loader = DataLoader(self.training, batch_size=batch, sampler=sampler)
        kept = [(mixtures.to(device), sources.to(device)) for mixtures, sources in loader]
        while True:
            yield from kept
