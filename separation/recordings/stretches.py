"""Stretches in which both voices speak: where they are, and which model output has which voice.

A model separates a stretch best by itself (0.9 dB better, measured on development speakers, than
within 30 s of conversation), and the embeddings of its outputs then hold nothing of the turns
around it. A little of those, though, shows whose voice goes on.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separation.audio.resample import resample
from separation.models.inference import find_factors
from separation.recordings.activity import find_runs, to_db
from separation.recordings.chunks import Measurable, Part
from separation.recordings.speech_networks import RATE, TICK_S, SpeakerEncoder
from separation.recordings.turns import BOTH, FIRST, SECOND, Projection, Turns

LIKELY = 0.25  # probability of both from which on a tick is of a stretch
LONGEST_GAP, SHORTEST, LONGEST = 2, 3, 100  # ticks
AROUND = 3  # ticks before and behind that the model sees
N_CUES = 5


def find_stretches(turns: Turns) -> list[tuple[int, int]]:
    """First ticks, and first ticks behind them; long ones are cut, as a model's outputs may swap.

    >>> states = np.zeros((9, 4)); states[2:7, BOTH] = 1
    >>> find_stretches(Turns(states=states, centres=np.zeros((2, 1))))
    [(2, 7)]
    """
    joined: list[list[int]] = []
    for start, stop in find_runs(turns.states[:, BOTH] > LIKELY):
        if joined and start - joined[-1][1] <= LONGEST_GAP:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    stretches = []
    for start, stop in joined:
        n_pieces = -(-(stop - start) // LONGEST)
        edges = np.linspace(start, stop, n_pieces + 1).round().astype(int)
        if stop - start >= SHORTEST:
            stretches += [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    return stretches


def cut_parts(stretches: list[tuple[int, int]], n_samples: int, rate: int) -> list[Part]:
    """What the model sees of a recording, and what is kept: a tick beyond, in which gains fade."""
    tick = round(TICK_S * rate)
    followings = [start for start, _ in stretches[1:]] + [n_samples][: len(stretches)]
    return [
        Part(
            start=max(0, start - AROUND) * tick,
            stop=min(n_samples, (stop + AROUND) * tick),
            first=start * tick,
            last=min(n_samples, min(stop + 1, following) * tick),
        )
        for (start, stop), following in zip(stretches, followings, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class OrderCues:
    """Measures by what it is known which output of a stretch has which voice.

    Attributes:
        stretches: ticks, of :func:`find_stretches`.
        turns: who speaks when.
        encoder, project: of embeddings.
        points: ``(t, n)``, of the recording's ticks.
        rate: Hz, of the model.
    """

    stretches: list[tuple[int, int]]
    turns: Turns
    encoder: SpeakerEncoder
    project: Projection
    points: np.ndarray
    rate: int

    def __call__(self, parts: Sequence[Measurable]) -> np.ndarray:
        """Cues ``(n, N_CUES)`` of stretches, positive where the first output has the first voice.

        How alike the outputs are to the voices; which output is louder before and behind the
        stretch, where one of them speaks; which is louder within, and who is heard more.

        Args:
            parts: of each stretch its number, the mixture ``(time,)`` that the model saw, and the
                estimates ``(2, time)``.
        """
        cores = [self._find_core(number) for number, _, _ in parts]
        scaled = [
            scale_estimates(mixture, estimates, core)
            for (_, mixture, estimates), core in zip(parts, cores, strict=True)
        ]
        likeness = self._compare([own[:, core] for own, core in zip(scaled, cores, strict=True)])
        rows = zip(parts, cores, scaled, likeness, strict=True)
        return np.stack([self._weigh(number, core, *rest) for (number, *_), core, *rest in rows])

    def _find_core(self, number: int) -> slice:
        """The stretch itself in what the model saw, in samples."""
        tick = round(TICK_S * self.rate)
        start, stop = self.stretches[number]
        begin = max(0, start - AROUND)
        return slice((start - begin) * tick, (stop - begin) * tick)

    def _weigh(
        self, number: int, core: slice, scaled: np.ndarray, likeness: np.ndarray
    ) -> np.ndarray:
        """Cues ``(N_CUES,)`` of a stretch."""
        start, stop = self.stretches[number]
        states = self.turns.states
        inside = states[start:stop].mean(axis=0)
        mean = self.points[start + 2 : max(start + 3, stop + 8)].mean(axis=0)
        heard = self.turns.centres @ mean / max(float(np.linalg.norm(mean)), 1e-9)
        louder = measure_lead(scaled[:, core])
        before, behind = states[max(0, start - AROUND) : start], states[stop : stop + AROUND]
        return np.array(
            [
                2 * (likeness[0, 0] + likeness[1, 1] - likeness[0, 1] - likeness[1, 0]),
                measure_lead(scaled[:, : core.start]) * measure_state_lead(before),
                measure_lead(scaled[:, core.stop :]) * measure_state_lead(behind),
                louder * (find_log_odds(inside[FIRST]) - find_log_odds(inside[SECOND])),
                2 * louder * (heard[0] - heard[1]),
            ]
        )

    def _compare(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Likeness ``(n, output, voice)`` of pairs of signals ``(2, time)`` at the model's rate."""
        wide = [
            signal
            for pair in outputs
            for signal in resample(pair.astype(np.float32), self.rate, RATE)
        ]
        means = [self.project(own).mean(axis=0) for own in self.encoder.embed_whole(wide)]
        units = np.stack([mean / max(float(np.linalg.norm(mean)), 1e-9) for mean in means])
        return (units @ self.turns.centres.T).reshape(len(outputs), 2, -1)


def scale_estimates(mixture: np.ndarray, estimates: np.ndarray, core: slice) -> np.ndarray:
    """Estimates ``(n_src, time)`` at the level that fits the mixture within ``core``."""
    wide, target = estimates.astype(np.float64), mixture.astype(np.float64)
    inside, aim = wide[:, core], target[core]
    return wide * find_factors(inside @ inside.T, inside @ aim, float(aim @ aim))[:, None]


def measure_lead(outputs: np.ndarray) -> float:
    """How much louder the first of two outputs is, 1 being 6 dB, 2 at most; 0 of hardly anything.

    >>> round(measure_lead(np.stack([np.full(800, 0.2), np.full(800, 0.1)])), 3)
    1.003
    """
    if outputs.shape[1] < 400:
        return 0.0
    levels = to_db(np.square(outputs).mean(axis=1) + 1e-9)
    return float(np.clip(levels[0] - levels[1], -12, 12)) / 6


def measure_state_lead(states: np.ndarray) -> float:
    """How surely the first voice rather than the second speaks alone, from -1 to 1."""
    return float((states[:, FIRST] - states[:, SECOND]).mean()) if len(states) else 0.0


def find_log_odds(probability: float) -> float:
    """A third of the log odds, of a probability that is kept 0.01 from 0 and 1."""
    return float(np.log((probability + 0.01) / (1.01 - probability)) / 3)


def order_outputs(cues: np.ndarray, weights: np.ndarray, known: float = 0.0) -> np.ndarray:
    """Probability that the first output has the first voice, ``(n,)``, of ``(n, N_CUES)``.

    Args:
        cues: of :class:`OrderCues`.
        weights: ``(N_CUES,)``.
        known: log odds of it whatever the cues say.
    """
    odds = cues.reshape(-1, N_CUES) @ weights + known
    return 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
