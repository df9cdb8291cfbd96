"""A small training for the tests; run as a module, the very one that two processes do."""

import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from separation.training.loop import train
from tests.conftest import ROOT, make_voice

RATE, N_SAMPLES = 4000, 2000
RECIPE = "mini/ConvTasNet/from_scratch"
SMALL = {
    "audio.sample_rate": RATE,
    "model.kernel_size": 16,
    "model.stride": 8,
    "model.n_filters": 16,
    "model.bn_chan": 8,
    "model.hid_chan": 8,
    "model.skip_chan": 8,
    "model.n_blocks": 2,
    "model.n_repeats": 1,
    "training.segment_s": N_SAMPLES / RATE,
    "training.epoch_mixtures": 24,
    "training.epochs": 2,
    "training.budget_min": 1000,
    "training.anneal_share": 0,
    "training.warmup_steps": 5,
    "training.compile": "off",
    "training.precision": "fp32",
    "training.examples_every": 0,
}


def make_conf(**changes) -> Conf:
    """The small config; ``lr=0.1`` stands for ``training.lr=0.1``."""
    values = SMALL | {f"training.{name}": value for name, value in changes.items()}
    return load_conf(ROOT, RECIPE, [f"{key}={value}" for key, value in values.items()])


class Trapped(torch.utils.data.Dataset):
    """Other items or mixtures, of which one sends a signal to this process, once."""

    def __init__(self, items: Any, at: int, number: int) -> None:
        self.items, self.at, self.number = items, at, number
        self.process = os.getpid()  # the signal is not for a worker
        self.n_epoch = getattr(items, "n_epoch", 0)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if index == self.at:
            self.at = -1
            os.kill(self.process, self.number)
        return self.items[index]


class Voices(torch.utils.data.Dataset):
    """Endless mixtures of two synthetic voices, by number."""

    n_epoch = 10

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        length_s = N_SAMPLES / RATE
        voices = [make_voice(2 * index + i, 100 + 90 * i, length_s, RATE) for i in (0, 1)]
        sources = torch.stack([torch.from_numpy(voice) for voice in voices])
        return sources.sum(dim=0), sources


class Broken(Voices):
    """Some numbers have no sound mixture."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        mixture, sources = super().__getitem__(index)
        return mixture * (math.nan if index in self.numbers else 1), sources


def make_dev(n_mixtures: int = 3) -> list[Mixture]:
    """Mixtures of different lengths, other than those of training."""
    mixtures = []
    for number in range(n_mixtures):
        mixture, sources = (part.numpy() for part in Voices()[10_000 + number])
        n_samples = N_SAMPLES - 100 * number
        mixtures.append(
            Mixture(
                row=parse_row({"mixture_ID": f"dev{number}"}),
                sample_rate=RATE,
                mixture=mixture[:n_samples],
                sources=sources[:, :n_samples],
            )
        )
    return mixtures


def run(folder: Path, segments: Any = None, dev: Any = None, **changes) -> dict:
    """Train; returns the last checkpoint."""
    device = torch.device("cpu")
    items = Voices() if segments is None else segments
    train(make_conf(**changes), items, make_dev() if dev is None else dev, folder, device)
    return read(folder)


def read(folder: Path) -> dict:
    """The last checkpoint, which needs no unpickling of code."""
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


if __name__ == "__main__":
    changes = dict(word.split("=") for word in sys.argv[2:])
    broken_at = int(changes.pop("broken_at", -1))
    items = Broken(range(broken_at, broken_at + 1))
    for word, number in (("killed_at", signal.SIGKILL), ("stopped_at", signal.SIGTERM)):
        items = Trapped(items, int(changes.pop(word, -1)), number)
    run(Path(sys.argv[1]), items, **changes)
