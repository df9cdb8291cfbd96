"""What in a recording makes it hard: band, noise, reverberation, music; of signals at 16 kHz.

Every measure takes arrays and returns numbers. Where it is said from which value on a recording
is hard is ``thresholds.py``.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.signal import stft

from separation.recordings.evidence import SPEECH
from separation.recordings.speech_networks import RATE, TICK_S

FFT, HOP = 512, 128  # 32 ms, every 8 ms
LONGEST_S, SPAN_S = 600.0, 60.0  # of a long recording, spans spread over it are measured

BELOW_PEAK_DB, BELOW_PEAK_LOW_DB = 50.0, 25.0  # of the mean spectrum, at the ends of its band
NOT_SPEECH = 0.2  # probability of speech below which a tick is a pause
FEWEST_PAUSES_S = 0.5
CLEANEST_DB = 60.0

BANDS_HZ = (250, 500, 1000, 2000, 3000, 4000)  # in which decays are looked for
DECAY_FRAMES = 16  # 128 ms
LEAST_DROP_DB, ABOVE_FLOOR_DB, LARGEST_MISFIT_DB = 8.0, 6.0, 2.0
FAST_DECAYS = 20  # percentile of the decays: no sound dies away faster than the room lets it
FEWEST_DECAYS = 20

TONE_FFT, TONE_HOP = 1024, 256  # 64 ms, every 16 ms
TONE_DB, TONE_FRAMES, LONGEST_TONE_S = 12.0, 14, 6.0  # a tone stands out, and lasts 0.22 s
PAUSE_TONE_FRAMES = 8  # 0.13 s: where nobody speaks no voice's pitch is taken for a tone


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What was measured of a recording.

    Attributes:
        lowest_hz, highest_hz: the band in which its speech lies.
        snr_db: speech over noise.
        snr_from: ``pauses``, or ``distribution`` (WADA) where there are none.
        decay_s: time for 60 dB of the fast decays, a reverberation time; None: too few were seen.
        tones: share of the frames with sound in which steady tones last, as in music.
        pause_tones: share of the pauses in which a tone lasts; None: pauses are too short.
        speech_s: seconds of speech.
    """

    lowest_hz: float
    highest_hz: float
    snr_db: float
    snr_from: str
    decay_s: float | None
    tones: float
    pause_tones: float | None
    speech_s: float


def measure_conditions(signal: np.ndarray, speech: np.ndarray) -> Conditions:
    """Measure a recording, of a long one ten spans of a minute.

    Args:
        signal: ``(time,)`` at 16 kHz.
        speech: ``(t,)``, probability of speech in ticks of 0.1 s.
    """
    chosen, spoken = choose_spans(signal, speech)
    powers = measure_powers(chosen)
    speech_frames = spread_ticks(spoken, len(powers))
    heard = speech_frames > SPEECH
    tones, pause_tones = measure_tones(chosen, spoken)
    lowest, highest = measure_band(powers[heard].mean(axis=0) if heard.any() else powers.mean(0))
    snr_db, snr_from = measure_snr(chosen, powers, speech_frames)
    return Conditions(
        lowest_hz=lowest,
        highest_hz=highest,
        snr_db=snr_db,
        snr_from=snr_from,
        decay_s=measure_decay(powers),
        tones=tones,
        pause_tones=pause_tones,
        speech_s=round(float((speech > SPEECH).sum() * TICK_S), 1),
    )


def choose_spans(signal: np.ndarray, speech: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A signal and its ticks; of one beyond ten minutes, spans spread evenly, joined."""
    if len(signal) <= LONGEST_S * RATE:
        return np.asarray(signal, np.float32), speech
    n_spans, tick = round(LONGEST_S / SPAN_S), round(TICK_S * RATE)
    last = (len(signal) - SPAN_S * RATE) // tick
    firsts = np.round(np.linspace(0, last, n_spans)).astype(int)
    n_ticks = round(SPAN_S / TICK_S)
    parts = [signal[first * tick : (first + n_ticks) * tick] for first in firsts]
    ticks = [speech[first : first + n_ticks] for first in firsts]
    return np.concatenate(parts).astype(np.float32), np.concatenate(ticks)


def measure_powers(signal: np.ndarray) -> np.ndarray:
    """Power spectra of frames of 32 ms every 8 ms, ``(n_frames, 257)``."""
    padded = np.pad(signal, (0, max(0, FFT - len(signal))))
    spectrum = stft(padded, RATE, nperseg=FFT, noverlap=FFT - HOP, boundary=None)[2]
    return np.square(np.abs(spectrum)).T.astype(np.float32)


def spread_ticks(ticks: np.ndarray, n_frames: int, size: int = FFT, hop: int = HOP) -> np.ndarray:
    """Values of ticks of 0.1 s for each frame, by its middle."""
    places = ((np.arange(n_frames) * hop + size / 2) / (TICK_S * RATE)).astype(int)
    return ticks[np.minimum(places, len(ticks) - 1)]


def measure_band(spectrum: np.ndarray) -> tuple[float, float]:
    """Lowest and highest frequency, in Hz, of a mean power spectrum ``(257,)``.

    The highest is the last within 50 dB of its peak, the lowest the first within 25 dB.
    """
    smooth = np.convolve(np.pad(spectrum, 1, mode="edge"), np.ones(3) / 3, "valid")
    level = 10 * np.log10(np.maximum(smooth, 1e-20))
    peak, hz = level.max(), RATE / FFT
    high = np.flatnonzero(level > peak - BELOW_PEAK_DB)[-1]
    low = np.flatnonzero(level > peak - BELOW_PEAK_LOW_DB)[0]
    return float(low * hz), float(high * hz)


def measure_snr(signal: np.ndarray, powers: np.ndarray, speech: np.ndarray) -> tuple[float, str]:
    """Speech over noise in dB, from the pauses; by :func:`estimate_wada` where there are none.

    Args:
        signal: ``(time,)``.
        powers: of its frames.
        speech: probability of each frame.
    """
    totals = powers.sum(axis=1, dtype=np.float64)
    pauses = totals[(speech < NOT_SPEECH) & (totals > 1e-14)]
    heard = totals[speech > SPEECH]
    if len(pauses) * HOP < FEWEST_PAUSES_S * RATE or not len(heard):
        return round(estimate_wada(signal), 1), "distribution"
    noise = float(np.median(pauses))  # words that the detector missed weigh little
    ratio = max(float(heard.mean()) - noise, 1e-3 * noise) / noise
    return round(min(CLEANEST_DB, 10 * np.log10(ratio)), 1), "pauses"


# log E|x| - E log|x| of speech (Gamma, shape 0.4) in Gaussian noise, for SNRs of -10 to 50 dB
WADA_SNRS_DB = np.arange(-10, 51, 5)
WADA_VALUES = np.array(
    [
        *(0.4119, 0.4236, 0.4618, 0.5431, 0.6670, 0.8123, 0.9561),
        *(1.0850, 1.1944, 1.2847, 1.3576, 1.4162, 1.4632),
    ]
)


def estimate_wada(signal: np.ndarray) -> float:
    """SNR in dB from the distribution of the amplitudes, -10 to 50.

    "Robust Signal-to-Noise Ratio Estimation Based on Waveform Amplitude Distribution Analysis",
    Kim and Stern 2008.
    """
    sizes = np.abs(np.asarray(signal, np.float64))
    sizes = sizes[sizes > 1e-10]
    if not len(sizes):
        return float(WADA_SNRS_DB[0])
    value = np.log(sizes.mean()) - np.log(sizes).mean()
    return float(np.interp(value, WADA_VALUES, WADA_SNRS_DB))


def measure_decay(powers: np.ndarray) -> float | None:
    """Time in s in which sound dies away by 60 dB, of the fast decays; None: too few were seen.

    Lines are fitted to the levels of bands wherever they fall for 128 ms. Speech may die away
    slower than a room lets it, never faster: so the fast ones are the room's. (Blind estimation
    as in Ratnam et al. 2003, with lines for the maximum likelihood.)

    Args:
        powers: ``(n_frames, 257)``.
    """
    bins = np.round(np.array(BANDS_HZ) * FFT / RATE).astype(int)
    times = [
        _list_decays(10 * np.log10(np.maximum(powers[:, low:high].sum(axis=1), 1e-14)))
        for low, high in pairwise(bins)
    ]
    joined = np.concatenate(times)
    if len(joined) < FEWEST_DECAYS:
        return None
    return round(float(np.percentile(joined, FAST_DECAYS)), 3)


def _list_decays(level: np.ndarray) -> np.ndarray:
    """Times for 60 dB of every line that fits a fall of a band's level in dB."""
    if len(level) < DECAY_FRAMES:
        return np.empty(0)
    windows = np.lib.stride_tricks.sliding_window_view(level, DECAY_FRAMES)
    floor = np.percentile(level, 5)
    places = np.arange(DECAY_FRAMES) - (DECAY_FRAMES - 1) / 2
    means = windows.mean(axis=1)
    slopes = windows @ places / (places @ places)
    drops = -slopes * (DECAY_FRAMES - 1)
    chosen = np.flatnonzero((drops > LEAST_DROP_DB) & (windows[:, -1] > floor + ABOVE_FLOOR_DB))
    lines = means[chosen, None] + slopes[chosen, None] * places
    misfits = np.sqrt(np.square(windows[chosen] - lines).mean(axis=1))
    fitting = chosen[misfits < LARGEST_MISFIT_DB]
    return 60 / (-slopes[fitting] * RATE / HOP)


def measure_tones(signal: np.ndarray, speech: np.ndarray) -> tuple[float, float | None]:
    """Shares of the frames in which steady tones last, as notes of music do.

    A tone is a peak of the spectrum, 12 dB above what lies around it, that stays in its place for
    0.22 s and more, and not for 6 s, as hum does. The pitch of speech moves. Between words, where
    nobody speaks, one of 0.13 s counts.

    Args:
        signal: ``(time,)``.
        speech: probability of speech in ticks.

    Returns:
        of the frames with sound, and of the pauses; None where there are hardly any. Two tones at
        once count, since noise of a steep spectrum has one at its lower end.
    """
    padded = np.pad(signal, (0, max(0, TONE_FFT - len(signal))))
    spectrum = stft(padded, RATE, nperseg=TONE_FFT, noverlap=TONE_FFT - TONE_HOP, boundary=None)[2]
    levels = 20 * np.log10(np.abs(spectrum[: TONE_FFT // 4]).T + 1e-9)  # to 4 kHz
    around = _average_around(levels)
    peaks = levels > around + TONE_DB
    peaks[:, 1:-1] &= (levels[:, 1:-1] >= levels[:, :-2]) & (levels[:, 1:-1] >= levels[:, 2:])
    sums = levels.max(axis=1)
    heard = sums > np.percentile(sums, 95) - 30
    share = float(_find_chords(peaks, TONE_FRAMES)[heard].mean())
    pauses = spread_ticks(speech, len(levels), TONE_FFT, TONE_HOP) < NOT_SPEECH
    if pauses.sum() * TONE_HOP < FEWEST_PAUSES_S * RATE:
        return share, None
    return share, float(_find_chords(peaks, PAUSE_TONE_FRAMES)[pauses].mean())


def _average_around(levels: np.ndarray, width: int = 12) -> np.ndarray:
    """Mean level of the bins on both sides, ``(n_frames, n_bins)``."""
    padded = np.pad(levels, ((0, 0), (width, width)), mode="edge")
    sums = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    return (sums[:, 2 * width + 1 :] - sums[:, : -2 * width - 1]) / (2 * width + 1)


def _find_chords(peaks: np.ndarray, n_least: int) -> np.ndarray:
    """Frames in which two of the peaks ``(n_frames, n_bins)`` last as tones of music do."""
    longest = round(LONGEST_TONE_S * RATE / TONE_HOP)
    lasting = np.zeros_like(peaks)
    for bin_, column in enumerate(peaks.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], column.astype(np.int8), [0]])))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            if n_least <= stop - start <= longest:
                lasting[start:stop, bin_] = True
    return lasting.sum(axis=1) >= 2
