"""Separating recordings: files in, one WAV per speaker out."""

import logging
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn
from tqdm import tqdm

from separation.audio.files import read_mono
from separation.audio.resample import resample
from separation.errors import UserError
from separation.files import write_whole
from separation.models.inference import fit_length, match_level, separate_samples

logger = logging.getLogger(__name__)

CHUNK_S, OVERLAP_S = 30.0, 5.0
SHORTEST_S = 0.1
SILENCE_PEAK = 1e-4


def separate_file(model: nn.Module, path: Path, folder: Path, device: torch.device) -> list[Path]:
    """Separate one recording into ``folder/<name>_s<k>.wav``, at the file's own sample rate.

    The model works at its own rate on chunks of 30 s whose order of speakers is matched on
    their overlap, so memory does not grow with the model's work on long files. Each estimate
    is scaled to its least-squares share of the input, so levels stay those of the input; where
    that would clip, all of a file's outputs are turned down together.

    Raises:
        UserError: a corrupt, silent, too short or stereo file.
    """
    samples, rate = read_mono(path)
    if len(samples) < SHORTEST_S * rate:
        raise UserError(f"{path}: is too short ({len(samples)} samples); at least 0.1 s is needed.")
    if np.abs(samples).max() < SILENCE_PEAK:
        raise UserError(f"{path}: is silent; there is nothing to separate.")
    model_rate = int(model.sample_rate)  # type: ignore[arg-type]
    if rate != model_rate:
        logger.info("%s: %s", path, tell_resampling(rate, model_rate))
    estimates = separate_long(model, resample(samples, rate, model_rate), model_rate, device)
    estimates = fit_length(resample(estimates, model_rate, rate), len(samples))
    estimates = match_level(samples, estimates)
    paths = []
    for number, estimate in enumerate(estimates, 1):
        target = folder / f"{path.stem}_s{number}.wav"
        with write_whole(target) as partial:
            soundfile.write(partial, estimate, rate, subtype="PCM_16", format="WAV")
        paths.append(target)
    return paths


def tell_resampling(rate: int, model_rate: int) -> str:
    """What becomes of a file of another rate than the model's, Hz.

    >>> tell_resampling(8000, 16000)
    'of 8000 Hz, resampled to the 16000 Hz of the model and back'
    """
    told = f"of {rate} Hz, resampled to the {model_rate} Hz of the model and back"
    lost = f"; the outputs hold nothing above {model_rate / 2:g} Hz"
    return told + (lost if rate > model_rate else "")


def separate_long(
    model: nn.Module, samples: np.ndarray, rate: int, device: torch.device
) -> np.ndarray:
    """Separate ``(time,)`` at the model's rate, chunk by chunk; returns ``(n_src, time)``."""
    size, overlap = round(CHUNK_S * rate), round(OVERLAP_S * rate)
    starts = list(range(0, max(1, len(samples) - overlap), size - overlap))
    if len(starts) == 1:
        return separate_samples(model, samples, device)
    joined: np.ndarray | None = None
    for start in tqdm(starts, desc="separate", unit="chunk", leave=False):
        piece = separate_samples(model, samples[start : start + size], device)
        joined = piece if joined is None else _join(joined, piece, overlap)
    assert joined is not None
    return joined


def _join(joined: np.ndarray, piece: np.ndarray, overlap: int) -> np.ndarray:
    """Append a chunk with its speakers in the order that fits the overlap best, cross-faded."""
    from scipy.optimize import linear_sum_assignment

    tail, head = joined[:, -overlap:], piece[:, :overlap]
    order = linear_sum_assignment(tail @ head.T, maximize=True)[1]
    piece = piece[order]
    fade = np.linspace(0, 1, overlap, dtype=np.float32)
    mixed = tail * (1 - fade) + piece[:, :overlap] * fade
    return np.concatenate([joined[:, :-overlap], mixed, piece[:, overlap:]], axis=1)


def separate_files(
    model: nn.Module, paths: list[Path], folder: Path, device: torch.device
) -> list[Path]:
    """Separate every file; refuses two inputs whose outputs would share a name."""
    stems = [path.stem for path in paths]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise UserError(
            f"several inputs are called {', '.join(twice)}: separate them into two --out."
        )
    written = []
    for path in paths:
        written += separate_file(model, path, folder, device)
    return written
