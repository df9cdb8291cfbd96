"""What a recording says of its voices, before any model separates it: ticks of 0.1 s.

Of each tick: the probability of speech, the spectrum, and the embedding of the 0.9 to 1.6 s that
end with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.recordings.speech_networks import (
    BEFORE_S,
    CONTEXT,
    N_SPECTRUM,
    RATE,
    STEP,
    TICK_S,
    WINDOW_S,
    SpeakerEncoder,
    SpeechDetector,
)

SPAN_S = 64.0  # read at a time; a multiple of the windows' hop and of the detector's step
SPEECH = 0.5  # probability from which on a tick is speech


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Of a recording of ``t`` ticks.

    Attributes:
        speech: ``(t,)``, probability.
        spectra: ``(t, 80)``, log power in mel bands: means over the tick, then deviations.
        embeddings: ``(t, 256)`` of unit length, of the windows that end with the ticks.
    """

    speech: np.ndarray
    spectra: np.ndarray
    embeddings: np.ndarray

    @property
    def speech_s(self) -> float:
        """Seconds of speech."""
        return float((self.speech > SPEECH).sum() * TICK_S)


def gather_evidence(wide: Path, encoder: SpeakerEncoder, detector: SpeechDetector) -> Evidence:
    """One pass over a recording.

    Args:
        wide: raw float32 at 16 kHz.
        encoder, detector: the networks.
    """
    n_wide = wide.stat().st_size // 4
    speech = detect_speech(wide, n_wide, detector)
    spectra = np.empty((len(speech), N_SPECTRUM), np.float16)
    embeddings = np.empty((len(speech), 256), np.float16)
    for first, signal in _read_spans(wide, n_wide):
        part = slice(first, min(len(speech), first + round(SPAN_S / TICK_S)))
        found = encoder.embed_ticks(signal, part.stop - part.start)
        spectra[part], embeddings[part] = found
    return Evidence(speech=speech, spectra=spectra, embeddings=embeddings)


def _read_spans(wide: Path, n_wide: int) -> Iterator[tuple[int, np.ndarray]]:
    """First tick and samples of each span, from ``BEFORE_S`` before it; none is silence."""
    span, before, after = (round(x * RATE) for x in (SPAN_S, BEFORE_S, WINDOW_S))
    for first in range(0, n_wide, span):
        begin = max(0, first - before)
        signal = np.fromfile(wide, np.float32, first + span + after - begin, offset=4 * begin)
        missing = before - (first - begin)
        yield round(first / RATE / TICK_S), np.pad(signal, (missing, 0))


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
