"""A model that learns the two voices of one recording, from the turns in which each speaks alone.

A model errs most on voices unlike those it was trained on. A conversation holds what it lacks:
seconds of either voice alone, of the same room and microphone. A copy of the model is trained for
some steps on mixtures of them, with the first voice always at its first output, so that it stops
changing their places as well. Mixtures of other such seconds say what that was worth; a copy that
is no better than the model is dropped.
"""

import copy
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from separation.files import hash_value
from separation.models.asteroid import import_asteroid, load_tensors, save_tensors
from separation.models.fast.layers import FastForm, make_fast
from separation.recordings.activity import find_runs
from separation.recordings.chunks import StoredEstimates
from separation.recordings.speech_networks import TICK_S
from separation.recordings.turns import FIRST, SECOND, Turns
from separation.training.loss import make_pit_loss

logger = logging.getLogger(__name__)

# Chosen on conversations of development speakers, see docs/recordings.md
SURE, SHORTEST = 0.8, 6  # probability, and ticks, of a stretch of one voice alone
LEARNED_S, SCORED_S, LONGEST_S = 6.0, 1.5, 240.0  # of either voice: least, least kept apart, most
SCORED_EVERY = 6  # every so many stretches one is kept apart
N_STEPS, N_WARMUP, DECAY_FROM = 200, 10, 0.6
BATCH, SEGMENT_S, LEVELS_DB, LEARNING_RATE, CLIP = 4, 3.0, 4.0, 4e-3, 5.0
AT_ONCE = 1  # mixtures of a step, for memory's sake
N_SCORED, SEED = 16, 20
STEPS_KEPT = 20  # between two checkpoints
MOST_OPERATIONS = 2e9  # multiplications and additions for a second of audio, on a CPU


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What a model learned of a recording's voices.

    Attributes:
        solo_s: seconds of either voice alone that it learned from.
        before_db: SI-SDR of the model as it is, the better order of its outputs, on mixtures of
            other seconds of these voices.
        after_db: of the copy that learned, whose first output is the first voice.
        is_used: whether the copy separates the recording.
    """

    solo_s: tuple[float, float]
    before_db: float
    after_db: float
    is_used: bool


@dataclass(frozen=True, kw_only=True)
class Voices:
    """Pieces ``(time,)`` of two voices alone.

    Attributes:
        learned: of each voice, trained on.
        scored: of each voice, kept apart.
        rate: Hz.
    """

    learned: tuple[list[np.ndarray], list[np.ndarray]]
    scored: tuple[list[np.ndarray], list[np.ndarray]]
    rate: int

    @property
    def solo_s(self) -> tuple[float, float]:
        """Seconds of either that are learned."""
        first, second = (sum(map(len, pieces)) / self.rate for pieces in self.learned)
        return round(first, 1), round(second, 1)

    @property
    def suffice(self) -> bool:
        """Whether there is enough of both."""
        scored = min(sum(map(len, pieces)) / self.rate for pieces in self.scored)
        return min(self.solo_s) >= LEARNED_S and scored >= SCORED_S


def allows_adaptation(model: nn.Module, device: torch.device) -> bool:
    """Whether ``--adapt auto`` adapts a model: it can be trained, and on a CPU costs little."""
    if int(getattr(model, "n_src", 2)) != 2 or not any(True for _ in model.parameters()):
        return False
    if device.type != "cpu":
        return True
    if any(isinstance(part, nn.RNNBase) for part in model.modules()):
        return False  # slow there, and not counted
    second = torch.zeros(1, round(float(model.sample_rate)))  # type: ignore[arg-type]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(second)
    return counter.get_total_flops() <= MOST_OPERATIONS


def find_solo(turns: Turns, voice: int) -> list[tuple[int, int]]:
    """Ticks in which a voice surely speaks alone, without the first and last of each stretch.

    >>> states = np.zeros((12, 4)); states[2:10, FIRST] = 1
    >>> find_solo(Turns(states=states, centres=np.zeros((2, 1))), 0)
    [(3, 9)]
    """
    runs = find_runs(turns.states[:, FIRST + voice] > SURE)
    return [(start + 1, stop - 1) for start, stop in runs if stop - start >= SHORTEST]


def read_voices(stored: StoredEstimates, turns: Turns) -> Voices:
    """The seconds of a recording in which one voice speaks alone; of much speech an even part."""
    learned, scored = [], []
    for voice in range(SECOND - FIRST + 1):
        runs = find_solo(turns, voice)
        share = LONGEST_S / max(LONGEST_S, sum(b - a for a, b in runs) * TICK_S)
        chosen = [run for k, run in enumerate(runs) if int((k + 1) * share) > int(k * share)]
        pieces = [_read_piece(stored, run) for run in chosen]
        learned.append([p for k, p in enumerate(pieces) if k % SCORED_EVERY != 2])
        scored.append(pieces[2::SCORED_EVERY])
    return Voices(learned=(learned[0], learned[1]), scored=(scored[0], scored[1]), rate=stored.rate)


def _read_piece(stored: StoredEstimates, run: tuple[int, int]) -> np.ndarray:
    """Samples of some ticks, faded at both ends for 10 ms."""
    tick = round(TICK_S * stored.rate)
    piece = stored.read_mixture(run[0] * tick, (run[1] - run[0]) * tick)
    ramp = np.arange(1, len(piece) + 1, dtype=np.float32) / (0.01 * stored.rate)
    return piece * np.minimum(1, np.minimum(ramp, ramp[::-1]))


def draw_mixtures(
    voices: Sequence[Sequence[np.ndarray]], n_mixtures: int, n_samples: int, seed: Sequence[int]
) -> torch.Tensor:
    """Sources ``(n_mixtures, 2, n_samples)``, each of pieces one after the other.

    Args:
        voices: the pieces of each.
        n_mixtures, n_samples: how many, how long.
        seed: draws pieces and the first voice's level.
    """
    rng = np.random.default_rng(seed)
    shares = [np.array([len(p) for p in pieces], np.float64) for pieces in voices]
    sources = np.empty((n_mixtures, len(voices), n_samples), np.float32)
    for mixture, (voice, pieces) in itertools.product(range(n_mixtures), enumerate(voices)):
        drawn: list[np.ndarray] = []
        while sum(map(len, drawn)) < n_samples:
            drawn.append(pieces[rng.choice(len(pieces), p=shares[voice] / shares[voice].sum())])
        said = np.concatenate(drawn)
        first = int(rng.integers(len(said) - n_samples + 1))
        sources[mixture, voice] = said[first : first + n_samples]
        if voice == 0:
            sources[mixture, voice] *= 10 ** (rng.uniform(-LEVELS_DB, LEVELS_DB) / 20)
    return torch.from_numpy(sources)


def measure_in_order(estimates: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Mean negative SI-SDR in dB of ``(batch, n_src, time)``, the first output the first source."""
    pairwise = import_asteroid("losses").pairwise_neg_sisdr(estimates, sources)
    return pairwise.diagonal(dim1=-2, dim2=-1).mean()


class Learner:
    """The copy that learns, and where it has come to.

    Args:
        model: as it is; stays so.
        voices: what is learned.
        device: of the model.
        kept: file of checkpoints.
    """

    def __init__(self, model: nn.Module, voices: Voices, device: torch.device, kept: Path) -> None:
        self.model, self.voices, self.device, self.kept = model, voices, device, kept
        self.copy = copy.deepcopy(model).train()
        for part in self.copy.modules():
            if isinstance(part, (nn.modules.batchnorm._BatchNorm, nn.Dropout)):
                part.eval()
        # a few minutes, which a compiler would hardly earn back
        self.fast = make_fast(self.copy, FastForm(eager=device.type == "cpu"))
        self.optimizer = torch.optim.Adam(self.copy.parameters(), betas=(0.9, 0.99))
        self.n_samples = round(SEGMENT_S * voices.rate)
        self.n_done = 0

    def run(self, label: str) -> None:
        """All steps, or those that are missing, with a bar."""
        self._read()
        steps = range(self.n_done, N_STEPS)
        with torch.enable_grad():
            for step in tqdm(
                steps, f"{label}: learns its voices", N_STEPS, initial=self.n_done, leave=False
            ):
                self._take_step(step)
                self.n_done = step + 1
                if self.n_done % STEPS_KEPT == 0:
                    self._write()
        self.copy.eval()

    def _take_step(self, step: int) -> None:
        rate = LEARNING_RATE * min(1.0, (step + 1) / N_WARMUP)
        rate *= min(1.0, (1 - step / N_STEPS) / (1 - DECAY_FROM))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sources = draw_mixtures(self.voices.learned, BATCH, self.n_samples, (SEED, step))
        self.optimizer.zero_grad()
        for part in sources.to(self.device).split(AT_ONCE):
            loss = measure_in_order(self.fast(part.sum(1)), part)
            (loss * len(part) / BATCH).backward()
        nn.utils.clip_grad_norm_(self.copy.parameters(), CLIP)
        self.optimizer.step()

    @torch.inference_mode()
    def score(self, model: nn.Module, loss: Any) -> float:
        """Mean SI-SDR in dB of what is kept apart."""
        sources = draw_mixtures(self.voices.scored, N_SCORED, self.n_samples, (SEED, N_STEPS))
        values = [
            float(-loss(model(item.sum(1).to(self.device)), item.to(self.device)))
            for item in sources.split(1)
        ]
        return round(float(np.mean(values)), 2)

    def _read(self) -> None:
        state = load_tensors(self.kept) if self.kept.is_file() else None
        if state is not None:
            self.copy.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.n_done = int(state["n_done"])

    def _write(self) -> None:
        state = {"model": self.copy.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_tensors(state | {"n_done": self.n_done}, self.kept)


def adapt_model(
    model: nn.Module, stored: StoredEstimates, turns: Turns, device: torch.device, label: str
) -> tuple[nn.Module, Adaptation | None]:
    """The model that separates a conversation: a copy that learned its voices, or the model.

    Args:
        model: in evaluation mode.
        stored: the recording; checkpoints lie beside its estimates, so that a call that is cut
            goes on.
        turns: who speaks when.
        device: of the model.
        label: for the progress bar.

    Returns:
        the model, and what it learned; None: there is too little of one voice alone.
    """
    voices = read_voices(stored, turns)
    if not voices.suffice:
        text = (
            "%s: its voices are not learned first, %.0f and %.0f s of either alone are too little"
        )
        logger.info(text, label, *voices.solo_s)
        return model, None
    lengths = [[len(piece) for piece in pieces] for pieces in voices.learned]
    kept = stored.state.with_name(f"voices-{hash_value(lengths)[:16]}.pth")
    learner = Learner(model, voices, device, kept)
    learner.run(label)
    before = learner.score(model, make_pit_loss())
    after = learner.score(learner.copy, measure_in_order)
    is_used = after > before
    adaptation = Adaptation(solo_s=voices.solo_s, before_db=before, after_db=after, is_used=is_used)
    logger.info(
        "%s: on mixtures of its own voices the model has %.1f dB SI-SDR, after learning them %.1f",
        *(label, before, after),
    )
    return (learner.copy if is_used else model), adaptation
