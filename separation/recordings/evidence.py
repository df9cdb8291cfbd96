"""What a recording says of its voices: embeddings of windows, speech and levels of ticks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.audio.resample import resample
from separation.recordings.activity import FRAME_S, Survey, to_db
from separation.recordings.chunks import StoredEstimates
from separation.recordings.speech_networks import (
    CONTEXT,
    RATE,
    STEP,
    WINDOW_S,
    SpeakerEncoder,
    SpeechDetector,
)

HOP_S = 0.4  # between windows that are embedded
TICK_S = 0.1  # of what is decided about voices
SPAN_S = 64.0  # read at a time; a multiple of hop, tick and the detector's step
SPEECH = 0.5  # probability from which on a tick is speech
SPOKEN = 0.4  # share of a window that is speech, from which on it is embedded


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Of a recording with ``n`` windows and ``t`` ticks of 0.1 s.

    Attributes:
        starts_s: ``(n,)``, of the windows that hold speech.
        mixture: ``(n, 256)``, embeddings of the recording.
        estimates: ``(n_src, n, 256)``, of the model's outputs.
        speech: ``(t,)``, probability.
        levels: ``(t, n_src)`` of the outputs, dB below the recording's loud frames.
        mixture_levels: ``(t,)``.
    """

    starts_s: np.ndarray
    mixture: np.ndarray
    estimates: np.ndarray
    speech: np.ndarray
    levels: np.ndarray
    mixture_levels: np.ndarray


def gather_evidence(
    stored: StoredEstimates,
    wide: Path,
    surveyed: Survey,
    encoder: SpeakerEncoder,
    detector: SpeechDetector,
) -> Evidence:
    """One pass over a stored recording and its estimates.

    Args:
        stored: mixture and estimates at the model's rate.
        wide: raw float32 of the mixture at 16 kHz.
        surveyed: of the estimates.
        encoder, detector: the networks.
    """
    n_wide = wide.stat().st_size // 4
    speech = detect_speech(wide, n_wide, detector)
    starts, mixture, estimates = [], [], []
    for first_s, signal, voices in _read_spans(stored, wide, n_wide):
        offsets = find_spoken_windows(speech, first_s, n_wide / RATE)
        samples = np.round(offsets * RATE).astype(int)
        starts.append(first_s + offsets)
        mixture.append(encoder.embed(signal, samples))
        estimates.append([encoder.embed(voice, samples) for voice in voices])
    return Evidence(
        starts_s=np.concatenate(starts),
        mixture=np.concatenate(mixture),
        estimates=np.concatenate([np.stack(part) for part in estimates], axis=1),
        speech=speech,
        levels=measure_ticks(surveyed.powers, len(speech), surveyed),
        mixture_levels=measure_ticks(surveyed.mixture_powers[:, None], len(speech), surveyed)[:, 0],
    )


def _read_spans(
    stored: StoredEstimates, wide: Path, n_wide: int
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """First second, mixture ``(time,)`` and estimates ``(n_src, time)`` at 16 kHz."""
    size_s = SPAN_S + WINDOW_S
    for first in range(0, n_wide, round(SPAN_S * RATE)):
        first_s = first / RATE
        signal = np.fromfile(wide, np.float32, round(size_s * RATE), offset=4 * first)
        voices = stored.read_estimates(round(first_s * stored.rate), round(size_s * stored.rate))
        yield first_s, signal, resample(voices, stored.rate, RATE)


def find_spoken_windows(speech: np.ndarray, first_s: float, duration_s: float) -> np.ndarray:
    """Starts of the windows of a span that hold speech, in seconds from its own."""
    offsets = np.arange(0, SPAN_S - 1e-6, HOP_S)
    offsets = offsets[first_s + offsets < max(duration_s - WINDOW_S / 2, HOP_S)]
    width = round(WINDOW_S / TICK_S)
    sums = np.concatenate([[0], np.cumsum(speech > SPEECH), np.zeros(width)])
    sums[len(speech) + 1 :] = sums[len(speech)]
    begin = np.round((first_s + offsets) / TICK_S).astype(int)
    share = (sums[np.minimum(begin + width, len(sums) - 1)] - sums[begin]) / width
    return offsets[share >= SPOKEN]


def detect_speech(wide: Path, n_wide: int, detector: SpeechDetector) -> np.ndarray:
    """Probability of speech in each tick of a raw file at 16 kHz, ``(t,)``."""
    found, state = [], None
    before = np.zeros(CONTEXT, np.float32)
    n_span = round(SPAN_S * RATE)
    assert n_span % STEP == 0
    for first in range(0, n_wide, n_span):
        signal = np.concatenate([before, np.fromfile(wide, np.float32, n_span, offset=4 * first)])
        probabilities, state = detector.detect(signal, state)
        found.append(probabilities)
        before = signal[-CONTEXT:]
    middles = (np.arange(sum(map(len, found))) + 0.5) * STEP / RATE
    ticks = (np.arange(count_ticks(n_wide / RATE)) + 0.5) * TICK_S
    return np.interp(ticks, middles, np.concatenate(found)).astype(np.float32)


def count_ticks(duration_s: float) -> int:
    """Ticks of a recording, the last one perhaps not full."""
    return max(1, int(np.ceil(duration_s / TICK_S - 1e-6)))


def measure_ticks(powers: np.ndarray, n_ticks: int, surveyed: Survey) -> np.ndarray:
    """Powers of frames ``(n_frames, n)`` to dB of ticks ``(n_ticks, n)``, loud frames at 0."""
    width = round(TICK_S / FRAME_S)
    padded = np.zeros((n_ticks * width, powers.shape[1]))
    padded[: len(powers)] = powers[: len(padded)]
    means = padded.reshape(n_ticks, width, -1).mean(axis=1)
    loud = float(np.percentile(to_db(surveyed.mixture_powers), 95))
    return np.maximum(to_db(means) - loud, -60.0).astype(np.float32)
