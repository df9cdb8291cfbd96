"""What makes recordings hard, done to clean speech at 16 kHz: band, noise, clipping, rooms."""

from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, fftconvolve, sosfiltfilt

from benchmarks.conversations.recordings import make_coloured_noise
from benchmarks.conversations.speech import RATE
from separation.audio.resample import resample

SOUND_M_S = 343.0


def limit_band(signal: np.ndarray, lowest_hz: float = 300, highest_hz: float = 3400) -> np.ndarray:
    """Telephone speech in a 16 kHz file: through a band-pass filter, and through 8 kHz."""
    sections = butter(6, (lowest_hz, highest_hz), "bandpass", fs=RATE, output="sos")
    narrow = resample(sosfiltfilt(sections, signal).astype(np.float32), RATE, 8000)
    return resample(narrow, 8000, RATE)[: len(signal)]


def measure_speech_power(signal: np.ndarray) -> float:
    """Mean power of the frames of 20 ms that lie within 30 dB of the loud ones."""
    frame = RATE // 50
    powers = np.square(signal[: len(signal) // frame * frame]).reshape(-1, frame).mean(axis=1)
    return float(powers[powers > 1e-3 * np.percentile(powers, 95)].mean())


def add_sound(signal: np.ndarray, sound: np.ndarray, snr_db: float) -> np.ndarray:
    """Add a sound this much below the speech."""
    sound = np.resize(sound, len(signal))
    power = float(np.square(sound).mean())
    gain = np.sqrt(measure_speech_power(signal) / power * 10 ** (-snr_db / 10))
    return signal + gain * sound


def add_noise(signal: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add coloured noise that swells slowly."""
    return add_sound(signal, make_coloured_noise(rng, len(signal)), snr_db)


def clip(signal: np.ndarray, share: float) -> np.ndarray:
    """Cut off the loudest samples, this share of those of speech, and scale to 16 bits."""
    frame = RATE // 50
    framed = signal[: len(signal) // frame * frame].reshape(-1, frame)
    powers = np.square(framed).mean(axis=1)
    loud = np.abs(framed[powers > 1e-3 * np.percentile(powers, 95)])
    level = float(np.quantile(loud, 1 - share))
    return np.round(np.clip(signal, -level, level) / level * 0.9 * 32767) / 32767


def make_room(rt60_s: float, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a shoebox room by images (Allen and Berkley 1979), ``(time,)``.

    Args:
        rt60_s: aimed at, by Sabine's formula.
        rng: draws room, source and microphone, 1 to 2.5 m apart.
    """
    size = rng.uniform((4, 3, 2.5), (8, 6, 3.5))
    volume = float(size.prod())
    surface = 2 * float(size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    reflection = np.sqrt(max(0.05, 1 - min(0.95, 0.161 * volume / (surface * rt60_s))))
    microphone = rng.uniform(0.8, size - 0.8)
    direction = rng.standard_normal(3)
    source = microphone + rng.uniform(1, 2.5) * direction / np.linalg.norm(direction)
    source = np.clip(source, 0.3, size - 0.3)
    n_samples = round(1.2 * rt60_s * RATE)
    response = np.zeros(n_samples)
    reach = [int(np.ceil(n_samples / RATE * SOUND_M_S / (2 * own))) for own in size]
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1)
    for parity in np.ndindex(2, 2, 2):
        p = np.array(parity)
        places = 2 * grid * size + np.where(p, -1, 1) * source - microphone
        distance = np.linalg.norm(places, axis=-1).ravel()
        n_walls = (np.abs(grid - p) + np.abs(grid)).sum(axis=-1).ravel()
        times = np.round(distance / SOUND_M_S * RATE).astype(int)
        near = times < n_samples
        sign = rng.choice((-1, 1), near.sum())  # so that the images do not add up at low Hz
        sign[n_walls[near] == 0] = 1
        gains = reflection ** n_walls[near] / np.maximum(distance[near], 0.3)
        np.add.at(response, times[near], sign * gains)
    return response / np.abs(response).max()


def draw_tail(rt60_s: float, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a room as statistics have it (Polack 1988): noise that dies away.

    The direct sound is 0 to 4 dB below the rest.
    """
    time = np.arange(round(1.2 * rt60_s * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * np.exp(-3 * np.log(10) / rt60_s * time)
    tail[: round(0.003 * RATE)] = 0
    tail /= np.sqrt(np.square(tail).sum())
    tail[0] = 10 ** (-rng.uniform(0, 4) / 20)
    return tail


def measure_rt60(response: np.ndarray) -> float:
    """Time in s for 60 dB, from the fall from -5 to -25 dB of Schroeder's integral."""
    energy = np.cumsum(np.square(response[::-1]))[::-1]
    level = 10 * np.log10(energy / energy[0] + 1e-12)
    first, last = np.flatnonzero(level <= -5)[0], np.flatnonzero(level <= -25)[0]
    return 3 * (last - first) / RATE


def reverberate(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """A signal in a room; the direct sound stays in its place."""
    loud = np.abs(response) > 0.5 * np.abs(response).max()
    direct = int(np.flatnonzero(loud)[0])
    return fftconvolve(signal, response)[direct : direct + len(signal)]


def read_music(path: Path, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Part of a piece of music at 16 kHz, ``(n_samples,)``."""
    with soundfile.SoundFile(path) as file:
        n_frames = round(n_samples / RATE * file.samplerate) + 1
        file.seek(int(rng.integers(max(1, file.frames - n_frames))))
        samples = file.read(n_frames, dtype="float32", always_2d=True)
        wide = resample(samples.mean(axis=1), file.samplerate, RATE)
    return np.resize(wide[:n_samples], n_samples)
