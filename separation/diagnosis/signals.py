"""What the audio itself says: how far up recordings reach, and whether references belong."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from separation.audio.files import read_mono
from separation.corpora.pack import PackedAudio
from separation.corpora.table import read_table
from separation.diagnosis.figures import BandFigures, SumFigures
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.files import locate_recording
from separation.mixtures.table import read_first_audio

N_RECORDINGS = 24
N_MIXTURES = 8
SHORTEST_S = 0.5
WINDOW_S = 0.032
LOUD_DB = 30.0  # frames below the loudest by more than this are pauses
NOTHING = 10**-5.5  # of the energy, which a filter's skirt and 16 bits leave above a band's end
LEVELS = 80  # points of the plotted spectrum


def measure_band(experiment: Experiment) -> BandFigures | None:
    """How far up recordings of training have anything; None where there is no audio to look at."""
    rate, edges, powers = experiment.conf.audio.sample_rate, [], []
    for samples in list_recordings(experiment):
        power = average_power(samples, rate)
        if power is not None:
            edges.append(find_edge(power, rate))
            powers.append(power / power.max())
    if not edges:
        return None
    mean = np.mean(powers, axis=0)
    levels = 10 * np.log10(np.maximum(mean / mean.max(), 1e-12))
    step = max(1, len(levels) // LEVELS)
    kept = range(0, len(levels), step)
    hertz = rate / 2 / (len(levels) - 1)
    points = tuple((round(place * hertz, 1), round(float(levels[place]), 1)) for place in kept)
    return BandFigures(sample_rate=rate, edges_hz=tuple(edges), levels_db=points)


def average_power(samples: np.ndarray, sample_rate: int) -> np.ndarray | None:
    """Mean power spectrum of the frames with speech; None of what is silent or too short."""
    size = round(WINDOW_S * sample_rate)
    if len(samples) < SHORTEST_S * sample_rate:
        return None
    n_frames = len(samples) // size
    frames = samples[: n_frames * size].reshape(n_frames, size).astype(np.float64)
    # a window whose sidelobes fall faster than any filter's skirt
    powers = np.abs(np.fft.rfft(frames * np.blackman(size), axis=1)) ** 2
    energies = powers.sum(axis=1)
    if not np.isfinite(energies).all() or energies.max() <= 0:
        return None
    return powers[energies > energies.max() * 10 ** (-LOUD_DB / 10)].mean(axis=0)


def find_edge(power: np.ndarray, sample_rate: int) -> float:
    """The frequency in Hz above which there is nothing of a mean power spectrum."""
    above = np.cumsum(power[::-1])[::-1] / power.sum()
    place = int(np.flatnonzero(above > NOTHING)[-1])
    return round(place * sample_rate / 2 / (len(power) - 1), 1)


def list_recordings(experiment: Experiment) -> Iterator[np.ndarray]:
    """Recordings of training speakers at the recipe's rate: packed ones, or the files."""
    folder = experiment.data.packed(experiment.conf.audio.sample_rate)
    speakers = sorted(path.stem for path in folder.glob("*.i16"))
    if speakers:
        chosen = speakers[:: max(1, len(speakers) // N_RECORDINGS)][:N_RECORDINGS]
        packed = PackedAudio(folder, chosen)
        for place, rows in enumerate(packed.utterances):
            yield packed.read(place, 0, 0, rows[0].n_samples)
        return
    yield from _read_files(experiment)


def _read_files(experiment: Experiment) -> Iterator[np.ndarray]:
    """Recordings of the recipe's own rate, where they can be read; others were made lower."""
    rate, root = experiment.conf.audio.sample_rate, _find_root(experiment)
    if root is None:
        return
    rows = [row for row in read_table(experiment.data.table) if row.split == "train"]
    of_rate = [row for row in rows if row.sample_rate == rate]
    for row in of_rate[:: max(1, len(of_rate) // N_RECORDINGS)][:N_RECORDINGS]:
        try:
            samples, found = read_mono(locate_recording(root / row.path), row.channel)
        except (UserError, OSError):
            continue
        if found == rate:
            yield samples


def _find_root(experiment: Experiment) -> Path | None:
    """Where the recordings lie; None where that is not known here."""
    if not experiment.data.table.is_file():
        return None
    try:
        return experiment.inputs.speech_root
    except (UserError, OSError):
        return None


def measure_sums(experiment: Experiment) -> SumFigures | None:
    """Whether the first dev mixtures are the sums of their references; None without their audio.

    Mixtures that are rendered are sums by construction: only those that exist as audio are read.
    """
    if experiment.origin != "existing":
        return None
    for split in ("train", "dev"):
        likenesses = tuple(_list_likenesses(experiment, split))
        if likenesses:
            noisy = experiment.conf.mixtures.task == "sep_noisy"
            return SumFigures(split=split, likenesses=likenesses, noisy=noisy)
    return None


def _list_likenesses(experiment: Experiment, split: str) -> Iterator[float]:
    table = experiment.data.mixture_table(split)
    if not table.is_file() or not _can_be_read(table):
        return
    from separation.experiment.mixtures import open_split  # which imports torch

    mixtures = open_split(experiment, split)
    for number in range(0, len(mixtures), max(1, len(mixtures) // N_MIXTURES)):
        try:
            mixture = mixtures[number]
        except (UserError, OSError, RuntimeError):
            continue
        yield correlate(mixture.mixture, mixture.sources.sum(axis=0))


def _can_be_read(table: Path) -> bool:
    """Whether the audio of a table's first mixture is there."""
    audio = read_first_audio(table)
    return bool(audio) and Path(audio).is_file()


def correlate(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two signals; 0 where one is silent."""
    first, second = first - first.mean(), second - second.mean()
    energy = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / energy if energy > 0 else 0.0
