"""What a training mixture is made of, drawn from its item number: cheap numbers, no audio.

A crop of an utterance that holds no speech is drawn anew.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from separation.config.schema import MixturesConf
from separation.corpora.pack import PackedAudio
from separation.mixtures.dynamic.equalizer import draw_curve
from separation.mixtures.dynamic.teams import Teams
from separation.mixtures.rng import make_generator

OVERSHOOT = 1.5  # resampling may raise a peak by less than this
MAX_REDRAWS = 20  # of a crop that is a pause, before it is taken as it is

logger = logging.getLogger(__name__)


class Piece(NamedTuple):
    """A stretch of one packed utterance."""

    speaker: int  # number in the pack, as the utterance
    utterance: int
    start: int  # samples
    n_samples: int
    gain: float  # on the utterance's own samples


class PartPlan(NamedTuple):
    """One signal of a mixture: pieces one after the other, played at a speed, equalized."""

    speed: int  # hundredths
    peak_bound: float
    pieces: list[Piece]
    curve_db: tuple[float, ...] = ()  # see separation.mixtures.dynamic.equalizer; empty: none


class ItemPlan(NamedTuple):
    """A whole mixture."""

    sources: list[PartPlan]
    differences_db: list[float]  # power of source 1 over that of each other; empty: as they are
    noise: PartPlan | None


class MixturePlans:
    """Plans of endless mixtures; that of item ``i`` depends on ``(seed, i)`` alone.

    Args:
        audio: packed utterances of the training speakers.
        n_samples: of a mixture.
        conf: number of speakers, loudness, level differences.
        seed: of all items.
        noise: packed noises.
        speeds: slowest and fastest, in steps of a hundredth.
        speaker_weight, speaker_groups: see :class:`separation.mixtures.dynamic.teams.Teams`.
        equalize_db: most that a source's equalizer changes a band; 0: no equalizers.
    """

    def __init__(
        self,
        audio: PackedAudio,
        n_samples: int,
        conf: MixturesConf,
        seed: int,
        noise: PackedAudio | None = None,
        speeds: tuple[float, float] = (1.0, 1.0),
        *,
        speaker_weight: float = 0.0,
        speaker_groups: str = "",
        equalize_db: float = 0.0,
    ) -> None:
        self.n_samples = n_samples
        self.conf = conf
        self.speeds = (round(100 * speeds[0]), round(100 * speeds[1]))
        self.equalize_db = equalize_db
        self.numbers = ItemNumbers(seed)
        self.n_redrawn = 0
        self._audio = audio
        self._rows = _list_rows(audio)
        self._teams = Teams(audio, conf.n_src, speaker_weight, speaker_groups)
        self._noise_rows = _list_rows(noise) if noise else []
        self._levels = (conf.loudness_min_lufs, conf.loudness_max_lufs)
        self._noise_levels = (conf.noise_loudness_min_lufs, conf.noise_loudness_max_lufs)

    def plan(self, index: int) -> ItemPlan:
        """The plan of item ``index``."""
        numbers = self.numbers.of_item(index)
        take = numbers.__next__
        sources = [self._plan_source(take, speaker) for speaker in self._teams.draw(numbers)]
        differences = self._draw_differences(take)
        noise = None
        if self._noise_rows:
            group = int(take() * len(self._noise_rows))
            rows = self._noise_rows[group]
            bound, pieces = _plan_pieces(take, group, rows, self._noise_levels, self.n_samples)
            noise = PartPlan(100, bound, pieces)
        return ItemPlan(sources, differences, noise)

    def _plan_source(self, take: Callable[[], float], speaker: int) -> PartPlan:
        part = self._plan_at_a_speed(take, speaker)
        if not self.equalize_db:
            return part
        highest = 10 ** (2 * self.equalize_db / 20)  # a band raised, the others lowered
        curve_db = draw_curve(take, self.equalize_db)
        return part._replace(curve_db=curve_db, peak_bound=part.peak_bound * highest)

    def _plan_at_a_speed(self, take: Callable[[], float], speaker: int) -> PartPlan:
        low, high = self.speeds
        if low == high == 100:
            return PartPlan(100, *self._plan_speech(take, speaker, self.n_samples))
        speed = low + int(take() * (high - low + 1))
        n_original = -(-self.n_samples * speed // 100)
        bound, pieces = self._plan_speech(take, speaker, n_original)
        return PartPlan(speed, bound * OVERSHOOT, pieces)

    def _plan_speech(
        self, take: Callable[[], float], speaker: int, n_samples: int
    ) -> tuple[float, list[Piece]]:
        """Pieces of one speaker, drawn anew while the one crop that they are is a pause."""
        for redraws in range(MAX_REDRAWS):
            rows = self._rows[speaker]
            bound, pieces = _plan_pieces(take, speaker, rows, self._levels, n_samples)
            first = pieces[0]
            if len(pieces) > 1 or self._audio.is_active(*first[:4]):
                break
            self._count_redrawn(redraws)
        return bound, pieces

    def _count_redrawn(self, redraws: int) -> None:
        self.n_redrawn += redraws == 0
        if redraws == 0 and self.n_redrawn in (1, 10, 100, 1000, 10000, 100000):
            logger.info("%d training crops were pauses and drawn anew", self.n_redrawn)

    def _draw_differences(self, take: Callable[[], float]) -> list[float]:
        if self.conf.train_level_by != "difference":
            return []
        low = self.conf.train_level_difference_min_db
        high = self.conf.train_level_difference_max_db
        return [low + take() * (high - low) for _ in range(self.conf.n_src - 1)]


def _list_rows(audio: PackedAudio) -> list[list[tuple[int, float, float]]]:
    """Length, loudness and peak of every utterance, as tuples: fast to read."""
    return [
        [(row.n_samples, row.loudness_lufs, row.peak) for row in rows] for rows in audio.utterances
    ]


def _plan_pieces(
    take: Callable[[], float],
    speaker: int,
    rows: list[tuple[int, float, float]],
    levels: tuple[float, float],
    n_samples: int,
) -> tuple[float, list[Piece]]:
    """``n_samples`` of one speaker at one loudness; a bound of their peak, and the pieces."""
    target = levels[0] + take() * (levels[1] - levels[0])
    n_rows, wanted, bound, pieces = len(rows), n_samples, 0.0, []
    while wanted > 0:
        choice = int(take() * n_rows)
        length, loudness_lufs, peak = rows[choice]
        spare = length - wanted if length > wanted else 0
        start = int(take() * (spare + 1))
        n_taken = wanted if length > wanted else length
        gain = 10 ** ((target - loudness_lufs) / 20)
        if gain * peak > bound:
            bound = gain * peak
        pieces.append(Piece(speaker, choice, start, n_taken, gain))
        wanted -= n_taken
    return bound, pieces


class ItemNumbers:
    """Uniform random numbers of an item, from ``(seed, item)`` alone.

    Setting up a generator takes longer than mixing, so one serves a block of items; an item that
    needs more numbers than its share goes on with a generator of its own.
    """

    BLOCK, SHARE = 256, 32

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._block: tuple[int, np.ndarray] = (-1, np.empty(0))

    def of_item(self, index: int) -> Iterator[float]:
        """Endless numbers in [0, 1)."""
        number, place = divmod(index, self.BLOCK)
        block = self._block  # one read and one write: threads may share this object
        if block[0] != number:
            generator = make_generator(self.seed, "train", number)
            block = self._block = (number, generator.random((self.BLOCK, self.SHARE)))
        return itertools.chain(block[1][place].tolist(), self._go_on(index))

    def _go_on(self, index: int) -> Iterator[float]:
        generator = make_generator(self.seed, "train/more", index)
        while True:
            yield from generator.random(self.SHARE).tolist()
