"""Stored estimates at the model's rate -> a WAV file per voice at the recording's rate."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.resample import resample_blocks
from separation.models.inference import avoid_clipping
from separation.recordings.activity import Blocks
from separation.recordings.decode import Level

BLOCK_SAMPLES = 1 << 17  # at the model's rate
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
BYTES = {"16": 2, "24": 3, "float": 4}
LARGEST_WAV = (1 << 32) - 4096  # bytes; RF64 from there on


def write_tracks(
    stored: Blocks, factors: np.ndarray, level: Level, targets: Sequence[Path], bits: str
) -> float:
    """Write every voice; returns the factor by which all were turned down to avoid clipping.

    Args:
        stored: the estimates.
        factors: ``(n_src,)``, their levels.
        level: of the recording, whose length and rate the tracks have.
        targets: a file per voice, or one that gets a channel per voice.
        bits: of :data:`SUBTYPES`.
    """
    peak = _write(stored, factors, level, targets, bits)
    down = avoid_clipping(peak, targets[0].stem) if bits != "float" else 1.0
    if down < 1:
        _write(stored, factors * down, level, targets, bits)
    return down


def _write(
    stored: Blocks, factors: np.ndarray, level: Level, targets: Sequence[Path], bits: str
) -> float:
    """Write the files; returns the largest magnitude there would be."""
    channels = stored.n_src if len(targets) == 1 else 1
    size = level.n_samples * channels * BYTES[bits]
    container = "WAV" if size < LARGEST_WAV else "RF64"
    peak, missing = 0.0, level.n_samples
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(
                soundfile.SoundFile(
                    target, "w", level.sample_rate, channels, SUBTYPES[bits], format=container
                )
            )
            for target in targets
        ]
        for block in _resample_voices(stored, factors, level.sample_rate):
            block = block[:, :missing]
            peak = max(peak, float(np.abs(block).max(initial=0)))
            missing -= block.shape[1]
            _spread(files, block)
        if missing:
            _spread(files, np.zeros((stored.n_src, missing), np.float32))
    return peak


def _resample_voices(stored: Blocks, factors: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    scaled = (
        (estimates * factors[:, None]).astype(np.float32)
        for _, estimates in stored.read_blocks(BLOCK_SAMPLES)
    )
    return resample_blocks(scaled, stored.rate, rate)


def _spread(files: Sequence[soundfile.SoundFile], block: np.ndarray) -> None:
    """Append ``(n_src, time)`` to a file per voice, or to one with a channel per voice."""
    if len(files) == 1:
        files[0].write(block.T)
        return
    for file, voice in zip(files, block, strict=True):
        file.write(voice)
