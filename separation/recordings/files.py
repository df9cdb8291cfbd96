"""Separating files: one WAV per speaker."""

from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
from torch import nn

from separation.audio.files import read_mono
from separation.errors import UserError
from separation.files import write_whole
from separation.recordings.waveform import separate_waveform


def separate_files(
    model: nn.Module, paths: Sequence[Path], folder: Path, device: torch.device
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


def separate_file(model: nn.Module, path: Path, folder: Path, device: torch.device) -> list[Path]:
    """Separate one recording into ``folder/<name>_s<k>.wav``, at the file's own sample rate.

    Raises:
        UserError: a corrupt, silent, too short or stereo file.
    """
    samples, rate = read_mono(path, allow_cut=True)
    estimates = separate_waveform(model, samples, rate, device, str(path))
    written = []
    for number, estimate in enumerate(estimates, 1):
        target = folder / f"{path.stem}_s{number}.wav"
        with write_whole(target) as partial:
            soundfile.write(partial, estimate, rate, subtype="PCM_16", format="WAV")
        written.append(target)
    return written
