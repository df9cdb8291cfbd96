"""Separating one recording in memory: samples in, as many samples a speaker out."""

import logging

import numpy as np
import torch
from torch import nn

from separation.audio.resample import resample
from separation.models.inference import fit_length, match_level
from separation.recordings.chunks import separate_long
from separation.recordings.decode import measure

logger = logging.getLogger(__name__)


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
    measure(samples, sample_rate).check(name)
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
