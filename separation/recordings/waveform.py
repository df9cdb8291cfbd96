"""Separating one recording: samples in, as many samples a speaker out."""

import logging
from functools import partial

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from separation.audio.resample import resample
from separation.errors import UserError
from separation.models.chunks import CHUNK_S, OVERLAP_S, separate_in_chunks
from separation.models.inference import fit_length, match_level, separate_samples

logger = logging.getLogger(__name__)

SHORTEST_S = 0.1
SILENCE_PEAK = 1e-4


def separate_waveform(
    model: nn.Module, samples: np.ndarray, sample_rate: int, device: torch.device, name: str
) -> np.ndarray:
    """Separate a recording of any length, at its own sample rate.

    The model works at its own rate on chunks of 30 s whose order of speakers is matched on
    their overlap, so memory does not grow with the model's work on long recordings. Each estimate
    is scaled to its least-squares share of the input, so levels stay those of the input; where
    that would clip, all of them are turned down together.

    Args:
        model: ``(batch, time) -> (batch, n_src, time)``, with a ``sample_rate`` in Hz.
        samples: finite floats, ``(time,)``.
        sample_rate: of the samples, in Hz.
        device: of the model.
        name: of the recording, for messages.

    Returns:
        float32 ``(n_src, time)``.

    Raises:
        UserError: a silent or too short recording.
    """
    if len(samples) < SHORTEST_S * sample_rate:
        raise UserError(f"{name}: is too short ({len(samples)} samples); at least 0.1 s is needed.")
    if np.abs(samples).max() < SILENCE_PEAK:
        raise UserError(f"{name}: is silent; there is nothing to separate.")
    model_rate = int(model.sample_rate)  # type: ignore[arg-type]
    if sample_rate != model_rate:
        logger.info("%s: %s", name, describe_resampling(sample_rate, model_rate))
    estimates = separate_long(model, resample(samples, sample_rate, model_rate), model_rate, device)
    estimates = fit_length(resample(estimates, model_rate, sample_rate), len(samples))
    return match_level(samples, estimates)


def describe_resampling(rate: int, model_rate: int) -> str:
    """What becomes of a recording of another rate than the model's, Hz.

    >>> describe_resampling(8000, 16000)
    'of 8000 Hz, resampled to the 16000 Hz of the model and back'
    """
    text = f"of {rate} Hz, resampled to the {model_rate} Hz of the model and back"
    if rate > model_rate:
        text += f"; the outputs hold nothing above {model_rate / 2:g} Hz"
    return text


def separate_long(
    model: nn.Module, samples: np.ndarray, rate: int, device: torch.device
) -> np.ndarray:
    """Separate ``(time,)`` at the model's rate, chunk by chunk; returns ``(n_src, time)``."""
    return separate_in_chunks(
        lambda piece: separate_samples(model, piece, device),
        samples,
        round(CHUNK_S * rate),
        round(OVERLAP_S * rate),
        partial(tqdm, desc="separate", unit="chunk", leave=False),
    )
