"""Real speech of speakers that the shipped model heard in training or did not, as turns."""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.resample import resample

RATE = 16000
LEVEL_DB = -26.0  # of speech, without its pauses
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One speaker, and the files of their utterances, sorted.

    Attributes:
        name: such as ``so0026_F``: corpus, number, sex.
        paths: of the utterances.
    """

    name: str
    paths: tuple[Path, ...]

    @property
    def sex(self) -> str:
        """``F`` or ``M``."""
        return self.name[-1]


def add_speakers(parser: argparse.ArgumentParser) -> None:
    """``--speech`` and ``--metadata``, see :func:`list_speakers`."""
    parser.add_argument(
        "--speech", type=Path, required=True, help="folder of speechocean762 and LibriSpeech"
    )
    parser.add_argument(
        "--metadata", type=Path, required=True, help="folder of the shipped model's data's tables"
    )


def list_speakers(speech: Path, metadata: Path, split: str) -> list[Speaker]:
    """Speakers of a split of the shipped model's data, with all their utterances, sorted by name.

    Args:
        speech: folder of speechocean762 and LibriSpeech.
        metadata: folder of the tables ``train.csv``, ``dev.csv``, ``test.csv`` of that data.
        split: of :data:`SPLITS`; ``test`` is of speakers that no training heard.
    """
    with open(metadata / f"{split}.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = {row[f"speaker_{k}_ID"] for row in rows for k in (1, 2)}
    paths = _list_utterances(speech)
    return [Speaker(name=name, paths=tuple(paths[name[:-2]])) for name in sorted(names)]


def _list_utterances(speech: Path) -> dict[str, list[Path]]:
    """Files by speaker: ``so`` or ``ls`` and the number in the corpus."""
    found: dict[str, list[Path]] = {}
    trees = (("so", "speechocean762/*/*.opus", 0), ("ls", "LibriSpeech/*/*/*/*.flac", 1))
    for corpus, pattern, above in trees:
        for path in sorted(speech.glob(pattern)):
            found.setdefault(corpus + path.parents[above].name, []).append(path)
    return found


def read_utterance(path: Path) -> np.ndarray:
    """Float32 ``(time,)`` at 16 kHz, without the silence before and after, at an even level."""
    samples, rate = soundfile.read(path, dtype="float32")
    samples = resample(samples, rate, RATE).astype(np.float32)
    frame = RATE // 50
    framed = samples[: len(samples) // frame * frame].reshape(-1, frame)
    powers = np.square(framed).mean(axis=1)
    speech = powers > 10**-3.0 * np.percentile(powers, 95)
    first, last = np.flatnonzero(speech)[[0, -1]]
    gain = np.sqrt(10 ** (LEVEL_DB / 10) / powers[speech].mean())
    return samples[max(0, first - 2) * frame : (last + 3) * frame] * gain


class Talker:
    """Says turns of any length out of one speaker's utterances, in an order drawn once.

    Args:
        speaker: whose.
        rng: draws the order and the level.
    """

    def __init__(self, speaker: Speaker, rng: np.random.Generator) -> None:
        self.utterances = [read_utterance(path) for path in speaker.paths]
        self.order = [int(k) for k in rng.permutation(len(self.utterances))]
        self.gain = 10 ** (rng.uniform(-2, 2) / 20)
        self.place, self.offset = 0, 0

    def say(self, n_samples: int) -> np.ndarray:
        """The next samples ``(n_samples,)`` of the speaker, faded at both ends for 10 ms."""
        pieces, missing = [], n_samples
        while missing > 0:
            utterance = self.utterances[self.order[self.place]]
            piece = utterance[self.offset : self.offset + missing]
            pieces.append(piece)
            missing -= len(piece)
            self.offset += len(piece)
            if len(utterance) - self.offset < RATE // 2:  # the rest is no word
                self.place, self.offset = (self.place + 1) % len(self.order), 0
        turn = np.concatenate(pieces) * self.gain
        fade = np.minimum(1, np.minimum(np.arange(n_samples), np.arange(n_samples)[::-1]) / 160)
        return (turn * fade).astype(np.float32)
