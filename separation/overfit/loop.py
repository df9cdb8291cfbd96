"""Overfit a recipe's model to a few of its training mixtures: a test of model and training.

The recipe's own training data, model, loss and training step. Above 20 dB the implementation
works; below, a sentence names the likely cause.
"""

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from separation.config.schema import Conf
from separation.device import choose_device
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import open_training
from separation.files import hash_value, write_json
from separation.metrics.score import find_permutation, si_sdr_db
from separation.mixtures.dynamic.host import ListedSegments
from separation.models.fast.layers import make_fast
from separation.models.registry import build_model
from separation.overfit.checks import (
    Item,
    ParameterWatch,
    check_items,
    check_loss,
    check_round_trip,
)
from separation.stages.model import describe_run
from separation.stages.state import refuse_other_config
from separation.training.distributed import Distributed
from separation.training.module import SeparationModule
from separation.training.schedule import scale_lr
from separation.training.step import TrainStep

logger = logging.getLogger(__name__)

TARGET_DB = 20.0
SEGMENT_S = 2.0
LEARNING_RATE = 1e-3
CALM_DB = 12.0  # from here the rate falls, as the noise of its steps bounds what is reached
HALVED_EVERY_DB = 4.0
BATCH_SIZE = 2  # at most: many small steps overfit sooner than few large ones
NEVER = 10**9  # steps: the end of a schedule that only the clock ends
WATCHED_STEPS = 20  # after so many, every parameter must have changed
SCORE_EVERY_S = 10.0
SCORING_SHARE = 0.1  # of the time, that scoring takes at most
SILENT_RMS = 1e-4  # a source below this has nothing to separate


class Verdict(TypedDict):
    """What overfitting gave.

    Attributes:
        passed: whether the mean SI-SDR is above the target.
        sentence: why.
        si_sdr_db: mean over the mixtures; None where a fault came before the first score.
        target_db: that it has to reach.
        minutes, steps: that it took.
        n_mixtures: that the model was trained on.
        segment_s: their length.
    """

    passed: bool
    sentence: str
    si_sdr_db: float | None
    target_db: float
    minutes: float
    steps: int
    n_mixtures: int
    segment_s: float


class OverfitRecord(Verdict):
    """``overfit.json``: the verdict, and which code, device and model it was."""

    recipe: str
    commit: str
    device: str
    seed: int
    versions: dict[str, str]
    model: str  # hash of the config's section


def overfit_recipe(experiment: Experiment, minutes: float, n_mixtures: int) -> OverfitRecord:
    """Overfit a recipe's model to its own first mixtures; writes ``overfit.json``.

    Raises:
        UserError: the experiment has another config, or no mixtures to train on.
    """
    refuse_other_config(experiment)
    conf = shorten(experiment.conf, minutes, n_mixtures)
    device = choose_device(experiment.device)
    items = FirstItems(open_training(dataclasses.replace(experiment, conf=conf)), n_mixtures)
    added = experiment.noisy or experiment.origin == "existing"
    verdict = overfit(conf, items, device, with_noise=added)
    run = describe_run(experiment, device)
    record: OverfitRecord = {
        **verdict,
        "recipe": run["recipe"],
        "commit": run["commit"],
        "device": run["device"],
        "seed": run["seed"],
        "versions": run["versions"],
        "model": hash_value(experiment.conf.section("model")),
    }
    write_json(experiment.folder.overfit, record)
    return record


def shorten(conf: Conf, minutes: float, n_items: int) -> Conf:
    """The recipe with what makes overfitting fast: short segments, small batches, no schedule."""
    largest = min(BATCH_SIZE, conf.training.batch_size)
    training = dataclasses.replace(
        conf.training,
        segment_s=min(SEGMENT_S, conf.training.segment_s),
        batch_size=max(size for size in range(1, largest + 1) if n_items % size == 0),
        lr=LEARNING_RATE,
        loss_ceiling=0.0,  # which perfect estimates and the target may lie above
        micro_batch=0,
        devices=1,
        num_nodes=1,
        schedule="constant",
        warmup_steps=0,
        anneal_share=0.0,
        ema=0.0,
        budget_min=minutes,
        num_workers=0,
    )
    return dataclasses.replace(conf, training=training)


class FirstItems(Dataset):
    """The first training items in which every source speaks.

    An item is drawn anew whenever it is asked for, as in training.
    """

    def __init__(self, segments: Any, n_items: int) -> None:
        self.segments = segments
        listed = isinstance(segments, ListedSegments)  # others draw new mixtures without end
        numbers = range(min(5 * n_items, segments.n_epoch) if listed else 5 * n_items)
        speaking = (i for i in numbers if _rms(segments[i][1]).min() > SILENT_RMS)
        self.numbers = [number for number, _ in zip(speaking, range(n_items), strict=False)]
        if len(self.numbers) < 2:
            raise UserError(
                "overfit found fewer than two training mixtures without silent sources."
            )

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Item:
        """Mixture ``(time,)`` and sources ``(n_src, time)``."""
        return self.segments[self.numbers[place]]


def _rms(signals: torch.Tensor) -> torch.Tensor:
    return signals.square().mean(-1).sqrt()


def overfit(conf: Conf, items: Dataset, device: torch.device, with_noise: bool = False) -> Verdict:
    """Train on a few mixtures until the model overfits, a fault shows or time is over.

    Args:
        conf: recipe; its ``training.budget_min`` is the time.
        items: mixtures ``(time,)`` with sources ``(n_src, time)``, by number.
        device: cpu or cuda.
        with_noise: the mixtures hold more than the sources.
    """
    Fabric.seed_everything(conf.training.seed, verbose=False)
    numbers = range(len(items))  # type: ignore[arg-type]
    first, again = ([items[number] for number in numbers] for _ in range(2))
    n_samples, rate = first[0][0].shape[-1], conf.audio.sample_rate
    model = build_model(conf.model, conf.mixtures.n_src, rate).to(device)
    fault = (
        check_items(first, again, with_noise)
        or check_round_trip(model, n_samples, rate)
        or check_loss(SeparationModule, first, conf.training)
    )
    progress = _Progress(model, first, fault)
    if not fault:
        _train(conf, model, items, progress, device)
    return progress.make_verdict(conf.training.budget_min, n_samples / rate)


def _train(
    conf: Conf, model: torch.nn.Module, items: Dataset, progress: "_Progress", device: torch.device
) -> None:
    """Real training steps, epoch after epoch, until ``progress`` says that it is over."""
    training = conf.training
    distributed = Distributed(training, device)
    module = SeparationModule(model, training).to(distributed.device)
    module.prepare(round(training.segment_s * conf.audio.sample_rate))
    train_step = TrainStep(module, training, distributed)
    # other batches every time: a BatchNorm's means must not become those of one and the same pair
    order = torch.Generator().manual_seed(training.seed)
    loader = DataLoader(items, training.batch_size, shuffle=True, generator=order)
    progress.start(60 * training.budget_min)
    while not progress.is_over:
        for batch in loader:
            mixtures, sources = (part.to(distributed.device) for part in batch)
            factor = scale_lr(training, progress.steps, NEVER, progress.elapsed_s)
            factor *= 0.5 ** (max(0.0, progress.by_loss_db - CALM_DB) / HALVED_EVERY_DB)
            train_step.run(progress.steps, mixtures, sources, training.lr * factor)
            progress.check_step(float(train_step.loss))
            if progress.is_over:
                break
        progress.score_epoch()


def explain_gap(model: torch.nn.Module) -> str:
    """Why a model may score worse than its loss says."""
    if any(isinstance(part, _BatchNorm) for part in model.modules()):
        return (
            "the model has BatchNorm, which trains on a batch's own means and is scored by running "
            "ones; they differ most where a step has one mixture: leave training.batch_size at 2."
        )
    return (
        "the loss does not measure what is scored, or the fast form of the model computes "
        "something else."
    )


class _Progress:
    """Scores the mixtures now and then, and says when the result is clear.

    Args:
        model: before its first step.
        items: the mixtures.
        fault: what is wrong already, or empty.
    """

    def __init__(self, model: torch.nn.Module, items: Sequence[Item], fault: str) -> None:
        self.items, self.fault = items, fault
        self.model = make_fast(model).eval()
        device = next(model.parameters()).device
        self.mixtures = torch.stack([mixture for mixture, _ in items]).to(device)
        self.watch = ParameterWatch(model, self.mixtures[:1])
        self.losses: list[float] = []
        self.scores: list[tuple[float, float]] = []  # seconds, dB
        self.scoring_s = 0.0  # of the last score
        self.start(0.0)

    def start(self, limit_s: float) -> None:
        """The clock runs from now."""
        self.began, self.limit_s = time.monotonic(), limit_s

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def by_loss_db(self) -> float:
        """Mean SI-SDR of the last mixtures, each about twice, as the training saw them."""
        return -float(np.mean(self.losses[-len(self.items) :])) if self.losses else 0.0

    @property
    def is_over(self) -> bool:
        is_reached = bool(self.scores) and self.scores[-1][1] > TARGET_DB
        return bool(self.fault) or self.elapsed_s >= self.limit_s or is_reached

    def check_step(self, loss: float) -> None:
        """Look at gradients and parameters after a step; the early faults."""
        self.losses.append(loss)
        if not np.isfinite(loss):
            self.fault = f"the loss was not finite at step {self.steps}: a lower rate, or float32."
        elif self.steps == WATCHED_STEPS:
            self.watch.note_gradients()
            self.fault = self.watch.find_fault()

    def score_epoch(self) -> None:
        """Score where it is time to, and at the end."""
        by_loss = self.by_loss_db
        since_s = self.elapsed_s - (self.scores[-1][0] if self.scores else 0.0)
        is_due = since_s >= max(SCORE_EVERY_S, self.scoring_s / SCORING_SHARE)
        if not (self.is_over or is_due or by_loss > TARGET_DB):
            return
        began = time.monotonic()
        score = self._score()
        self.scoring_s = time.monotonic() - began
        self.scores.append((self.elapsed_s, score))
        logger.info("step %d: SI-SDR %.2f dB (by the loss %.2f)", self.steps, score, by_loss)

    def _score(self) -> float:
        """Mean SI-SDR in dB, by the scorer of the evaluation, in float32."""
        with torch.no_grad():
            estimates = self.model(self.mixtures).float().cpu().numpy()
        pairs = zip([sources.numpy() for _, sources in self.items], estimates, strict=True)
        values = [
            si_sdr_db(references, found[list(find_permutation(references, found))]).mean()
            for references, found in pairs
        ]
        return float(np.mean(values))

    def make_verdict(self, budget_min: float, segment_s: float) -> Verdict:
        """Whether it passed, and one sentence that says why."""
        score = self.scores[-1][1] if self.scores else None
        passed = not self.fault and score is not None and score > TARGET_DB
        minutes = self.elapsed_s / 60
        sentence = self.fault or self._explain(passed, minutes, budget_min)
        return {
            "passed": passed,
            "sentence": sentence,
            "si_sdr_db": None if score is None else round(score, 2),
            "target_db": TARGET_DB,
            "minutes": round(minutes, 2),
            "steps": self.steps,
            "n_mixtures": len(self.items),
            "segment_s": segment_s,
        }

    def _explain(self, passed: bool, minutes: float, budget_min: float) -> str:
        score, n_mixtures = self.scores[-1][1], len(self.items)
        result = f"{n_mixtures} training mixtures reach a mean SI-SDR of {score:.1f} dB"
        if passed:
            return (
                f"{result}, above {TARGET_DB:.0f}, in {minutes:.1f} minutes and {self.steps} steps."
            )
        if self.by_loss_db - score > 3:
            return f"{result} where the loss says {self.by_loss_db:.1f}: {explain_gap(self.model)}"
        earlier = [db for seconds, db in self.scores if seconds < 0.7 * self.scores[-1][0]]
        gain = score - (earlier[-1] if earlier else 0.0)
        if gain > 0.5:
            return (
                f"{result} in {minutes:.1f} minutes, below {TARGET_DB:.0f}, and still rise "
                f"({gain:.1f} dB in the last third): try --minutes {3 * budget_min:g}."
            )
        return (
            f"{result} and stay there, below {TARGET_DB:.0f}; data, bases, loss and gradients "
            "passed their checks: look at the masks' activation and the learning rate."
        )
