"""Audio for the throughput benchmark: packed speakers, WAV mixtures, batches on the device."""

import random
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from benchmarks.gpu.settings import Settings
from benchmarks.gpu.voices import pack_folder, write_voices
from separation.corpora.pack import PackedAudio
from separation.files import format_rows, write_text
from separation.mixtures.dynamic.host import DynamicMixtures
from separation.models.asteroid import import_asteroid

DEV_SEED = 90001
DEV_SHARE = 0.2  # of the speakers


@dataclass
class Material:
    """Everything the cases draw from, made once, below ``folder``.

    Attributes:
        speech: real recordings in folders by speaker; None: made-up voices.
    """

    settings: Settings
    folder: Path
    speech: Path | None = None

    @cached_property
    def packed(self) -> PackedAudio:
        """All speakers."""
        root, settings = self.speech, self.settings
        if root is None:
            root = self.folder / "voices"
            sizes = (settings.n_speakers, settings.n_utterances, settings.utterance_s)
            write_voices(root, *sizes, settings.sample_rate)
        packs = self.folder / "packed"
        return pack_folder(root, packs, settings.sample_rate, settings.n_speakers)

    def _take_speakers(self, *, dev: bool) -> PackedAudio:
        names = self.packed.speakers
        n_dev = max(2, round(DEV_SHARE * len(names)))
        chosen = names[:n_dev] if dev else names[n_dev:]
        return PackedAudio(self.folder / "packed", chosen)

    def open_training(self, seed: int) -> DynamicMixtures:
        """Mixtures of the training speakers; items depend on the seed and their number."""
        conf = self.settings.confs["small"].mixtures
        audio = self._take_speakers(dev=False)
        return DynamicMixtures(audio, self.settings.n_samples, conf, seed)

    @cached_property
    def dev(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Fixed mixtures of speakers that training does not hear."""
        conf = self.settings.confs["small"].mixtures
        audio = self._take_speakers(dev=True)
        mixtures = DynamicMixtures(audio, self.settings.n_samples, conf, DEV_SEED)
        return [mixtures[index] for index in range(self.settings.quality_dev)]

    @cached_property
    def wavs(self) -> Path:
        """16-bit WAV mixtures: ``mix/ s1/ s2/`` and a table in LibriMix's columns."""
        root, rate = self.folder / "wav8k", self.settings.sample_rate
        conf = self.settings.confs["small"].mixtures
        n_samples = round(1.2 * self.settings.n_samples)  # longer than a segment, as real ones
        mixtures = DynamicMixtures(self.packed, n_samples, conf, 1)
        rows = []
        for name in ("mix", "s1", "s2"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(self.settings.n_wavs):
            mixture, sources = mixtures[index]
            paths = [root / name / f"m{index:05d}.wav" for name in ("mix", "s1", "s2")]
            for path, signal in zip(paths, (mixture, *sources), strict=True):
                soundfile.write(path, signal.numpy(), rate, "PCM_16")
            names = ("mixture_path", "source_1_path", "source_2_path")
            row = dict(zip(names, map(str, paths), strict=True))
            rows.append({"mixture_ID": paths[0].stem} | row | {"length": str(n_samples)})
        write_text(root / "mixture_bench_mix_clean.csv", format_rows(rows))
        return root

    def make_batches(
        self, batch: int, device: torch.device
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """A few batches on the device, in turn and for ever."""
        loader = self.open_packed_loader(batch, self.settings.n_buffers, num_workers=0)
        kept = [(mixtures.to(device), sources.to(device)) for mixtures, sources in loader]
        while True:
            yield from kept

    def open_packed_loader(
        self, batch: int, n_batches: int, num_workers: int | None = None, seed: int = 0
    ) -> DataLoader:
        """Our loader of stage 4: packed speakers, mixed anew."""
        workers = self.settings.num_workers if num_workers is None else num_workers
        return DataLoader(
            self.open_training(seed),
            batch_size=batch,
            sampler=range(batch * n_batches),
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
        )

    def open_stock_loader(self, batch: int, n_batches: int) -> DataLoader:
        """Asteroid's ``LibriMix`` over the WAV files, as its recipe loads them."""
        with open(self.folder / "librimix.log", "w") as log:  # it prints what it drops
            dataset: Dataset = _make_quiet(
                import_librimix(), log, str(self.wavs), "sep_clean",
                *(self.settings.sample_rate, 2, self.settings.segment_s),
            )  # fmt: skip
        random.seed(0)
        # Repeated, so that the start of the workers is counted once, as in a long epoch.
        copies = -(-batch * n_batches // len(dataset))  # type: ignore[arg-type]
        return DataLoader(
            ConcatDataset([dataset] * copies),
            shuffle=True,
            batch_size=batch,
            num_workers=self.settings.num_workers,
            drop_last=True,
        )


def _make_quiet(factory: Any, log: Any, *arguments: Any) -> Any:
    import contextlib

    with contextlib.redirect_stdout(log):
        return factory(*arguments)


def import_librimix() -> Any:
    """``asteroid.data.LibriMix``; librosa, which only its video data set uses, may be absent."""
    try:
        return import_asteroid("data").LibriMix
    except ModuleNotFoundError as error:
        if error.name != "librosa":
            raise
        sys.modules["librosa"] = types.ModuleType("librosa")
        return import_asteroid("data").LibriMix
