"""Small folders mix/ s1/ s2/ (s3/) of synthetic voices, and small models to score on them."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from separation.models.asteroid import import_asteroid, save_model
from tests.conftest import make_voice


def make_sources(number: int, n_src: int, rate: int, duration_s: float) -> np.ndarray:
    """Voices of different pitch, ``(n_src, time)``, the same for a number at any time."""
    voices = [
        make_voice(10 * number + k, 95 + 70 * k + 3 * number, duration_s, rate)
        for k in range(n_src)
    ]
    return 0.4 * np.stack(voices)


def write_folder(
    folder: Path, n_mixtures: int, n_src: int = 2, rate: int = 8000, duration_s: float = 0.5
) -> Path:
    """Write ``mix/m<k>.wav`` and its sources as 16-bit WAV; returns the folder."""
    for number in range(n_mixtures):
        sources = make_sources(number, n_src, rate, duration_s + 0.05 * number)
        write_mixture(folder, f"m{number}", sources.sum(axis=0), sources, rate)
    return folder


def write_mixture(
    folder: Path, name: str, mixture: np.ndarray, sources: np.ndarray, rate: int
) -> None:
    """Write one mixture and its sources."""
    parts = {"mix": mixture} | {f"s{k}": source for k, source in enumerate(sources, 1)}
    for part, samples in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / part / f"{name}.wav", samples, rate, "PCM_16")


def save_small_model(
    path: Path, n_src: int = 2, rate: int = 8000, seed: int = 0, n_steps: int = 0
) -> Path:
    """Save an Asteroid Conv-TasNet of a few thousand parameters; returns the path.

    Args:
        n_steps: of training on :func:`make_sources`'s voices, so that it separates a little.
    """
    torch.manual_seed(seed)
    sizes = {"n_filters": 16, "kernel_size": 16, "stride": 8, "bn_chan": 8, "hid_chan": 8}
    sizes |= {"skip_chan": 8, "n_blocks": 2, "n_repeats": 1, "mask_act": "relu"}
    model = import_asteroid("models").ConvTasNet(n_src=n_src, sample_rate=rate, **sizes)
    _learn(model, n_src, rate, n_steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(model, path)
    return path


def _learn(model: torch.nn.Module, n_src: int, rate: int, n_steps: int) -> None:
    """Fit the voices in their order: the permutation is then beyond doubt."""
    sources = torch.from_numpy(np.stack([make_sources(k, n_src, rate, 0.5) for k in range(4)]))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(n_steps):
        optimiser.zero_grad()
        residual = model(sources.sum(dim=1)) - sources
        (residual**2).mean().log().backward()
        optimiser.step()
