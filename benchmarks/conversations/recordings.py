"""Recordings of none, one, two and three speakers, and of two at once all the time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conversations.draw import Conversation, draw_conversation, draw_pairs
from benchmarks.conversations.speech import RATE, Speaker, Talker, list_speakers, read_utterance

KINDS = ("none", "one", "two", "overlapped", "three")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording whose voices are known.

    Attributes:
        kind: of :data:`KINDS`.
        name: number and speakers.
        conversation: its signals.
    """

    kind: str
    name: str
    conversation: Conversation


def draw_recordings(
    speech: Path, metadata: Path, split: str, counts: dict[str, int], seed: int
) -> Iterator[Recording]:
    """Recordings of a split's speakers, as many of each kind as are asked for.

    Args:
        speech, metadata, split: see :func:`benchmarks.conversations.speech.list_speakers`.
        counts: by kind.
        seed: of everything that is drawn.
    """
    speakers = list_speakers(speech, metadata, split)
    for kind, n_recordings in counts.items():
        draw = DRAWS[kind]
        for number in range(n_recordings):
            rng = np.random.default_rng([seed, KINDS.index(kind), number])
            conversation = draw(speakers, rng, number)
            name = "_".join([f"{kind}{number:02d}", *conversation.names])
            yield Recording(kind=kind, name=name, conversation=conversation)


def _draw_none(_: list[Speaker], rng: np.random.Generator, number: int) -> Conversation:
    """20 to 60 s of noise, hum, chords, beats, or hardly anything."""
    n_samples = round(rng.uniform(20, 60) * RATE)
    signal = NOISES[number % len(NOISES)](rng, n_samples)
    signal *= 0.1 / max(1e-9, float(np.abs(signal).max()))
    return _wrap((), signal[None].astype(np.float32))


def make_coloured_noise(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Noise whose power falls by 0 to 6 dB an octave, and swells slowly."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** -rng.uniform(0, 1)
    swell = 1 + 0.5 * np.sin(2 * np.pi * np.arange(n_samples) / RATE * rng.uniform(0.05, 0.5))
    return np.fft.irfft(spectrum, n_samples) * swell


def make_hum(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Mains and its harmonics above faint noise."""
    time = np.arange(n_samples) / RATE
    hum = sum(rng.random() * np.sin(100 * np.pi * k * time) for k in range(1, 9))
    return hum + 0.2 * rng.standard_normal(n_samples)


def make_chords(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Chords of decaying harmonics, two to four a second, as a piano might have them."""
    music = np.zeros(n_samples)
    start = 0
    while start < n_samples:
        length = round(rng.uniform(0.25, 0.5) * RATE)
        time = np.arange(min(4 * length, n_samples - start)) / RATE
        for note in rng.choice([0, 2, 4, 5, 7, 9, 11, 12], 3, replace=False):
            pitch = 220 * 2 ** (note / 12)
            music[start : start + len(time)] += sum(
                np.sin(2 * np.pi * pitch * k * time) * np.exp(-3 * k * time) / k
                for k in range(1, 6)
            )
        start += length
    return music


def make_beats(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Bursts of noise and low thumps, twice a second, above faint noise."""
    beats = 0.01 * rng.standard_normal(n_samples)
    for start in range(0, n_samples, RATE // 4):
        time = np.arange(min(RATE // 4, n_samples - start)) / RATE
        burst = rng.standard_normal(len(time)) if rng.random() < 0.5 else np.sin(400 * time)
        beats[start : start + len(time)] += burst * np.exp(-rng.uniform(15, 40) * time)
    return beats


def make_silence(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """A room in which nobody speaks: faint noise, and a few clicks."""
    room = rng.standard_normal(n_samples)
    room[rng.integers(n_samples, size=5)] += 50
    return room


NOISES = (make_coloured_noise, make_hum, make_chords, make_beats, make_silence)


def draw_one(speakers: list[Speaker], rng: np.random.Generator, number: int) -> Conversation:
    """20 to 60 s of one speaker, with pauses; those with little to say speak for 8 to 12 s."""
    speaker = speakers[number % len(speakers)]
    if len(speaker.paths) > 5:
        return draw_conversation([speaker], rng, (1 / 3, 1))
    signal = read_utterance(speaker.paths[0])[: 12 * RATE]
    return _wrap((speaker.name,), signal[None])


def _draw_two(speakers: list[Speaker], rng: np.random.Generator, number: int) -> Conversation:
    pair = draw_pairs(speakers, 1 + number % 2, rng)[-1]
    return draw_conversation(pair, rng, (1, 2))


def _draw_three(speakers: list[Speaker], rng: np.random.Generator, _: int) -> Conversation:
    talkers = [speaker for speaker in speakers if len(speaker.paths) >= 10]
    chosen = [talkers[int(k)] for k in rng.choice(len(talkers), 3, replace=False)]
    return draw_conversation(chosen, rng, (1.5, 3))


def draw_overlapped(speakers: list[Speaker], rng: np.random.Generator, number: int) -> Conversation:
    """Two at once all the time, for 4 to 12 s, or for 30 s."""
    pair = draw_pairs(speakers, 1 + number % 2, rng)[-1]
    n_samples = round((30 if number % 4 == 3 else rng.uniform(4, 12)) * RATE)
    sources = np.stack([Talker(speaker, rng).say(n_samples) for speaker in pair])
    return _wrap(tuple(speaker.name for speaker in pair), sources)


def _wrap(names: tuple[str, ...], sources: np.ndarray) -> Conversation:
    return Conversation(names=names, turns=(), sources=sources, overlapped=len(names) - 1.0)


DRAWS = {
    "none": _draw_none,
    "one": draw_one,
    "two": _draw_two,
    "overlapped": draw_overlapped,
    "three": _draw_three,
}
