"""Checks of training: diverged, nothing learned, overfitted, stopped early, rate never lowered."""

import math

import numpy as np

from separation.diagnosis.data import GAP_DB, plot_curves, show_gap
from separation.diagnosis.draft import Draft, Gain, Line, PlotDraft, Shown
from separation.diagnosis.figures import (
    DataFigures,
    Epoch,
    OverfitFigures,
    TrainingFigures,
)
from separation.diagnosis.published import PAPER_H

SKIPPED_SHARE = 0.05  # of all steps
FELL_DB = 3.0  # training below its own best epoch
HARMS_DB = 3.0  # dev worse than the unprocessed mixture
NOTHING_DB = 0.5  # SI-SDRi on dev
LEAST_STEPS = 300  # before which nothing need be learned
HIGH_LR = 0.008  # eight times the paper's
GROWTH_DB = 1.5  # of the gap, from which it is not there from the beginning
RISING_DB = 0.3  # per doubling of steps
RISING_ANNEALED_DB = 0.5  # the same before the rate falls, which then brings some of it
ANNEALED = 0.5  # of the base rate, below which dev rises by the rate's fall too
STALLED_DB = RISING_DB
LATE = 2 / 3  # of the steps, from where on the end of a curve is looked at
LONGER = 4  # times, where more time is the advice
USUAL_LR = 0.001


def check_overfit(overfit: OverfitFigures | None) -> Draft | None:
    """Model and training cannot even overfit to ten mixtures."""
    if overfit is None or overfit.passed or not overfit.same_model:
        return None
    evidence = (Shown(code="overfit", values={"sentence": overfit.sentence}),)
    return Draft(
        code="overfit_failed", kind="fault", evidence=evidence, command=("overfit",), opens=True
    )


def check_diverged(training: TrainingFigures | None) -> Draft | None:
    """Training got worse, or its steps had no finite loss: mostly too high a rate."""
    if training is None:
        return None
    evidence = _show_skipped(training) + _show_fall(training) + _show_harm(training)
    if not evidence:
        return None
    values = {"lr": training.lr}
    new_lr = min(USUAL_LR, training.lr / 10)
    keys = [("training.lr", f"{new_lr:g}")]
    if training.clip == 0:
        keys.append(("training.clip", "5"))
    evidence.append(Shown(code="rate", values={"lr": training.lr, "last": training.last.lr}))
    return Draft(
        code="diverged", kind="fault", values=values, evidence=tuple(evidence), keys=tuple(keys)
    )


def _show_skipped(training: TrainingFigures) -> list[Shown]:
    last = training.last
    share = last.skipped / max(1, last.step)
    if share < SKIPPED_SHARE:
        return []
    return [Shown(code="skipped", values={"n": last.skipped, "share": 100 * share})]


def _show_fall(training: TrainingFigures) -> list[Shown]:
    """The training loss itself got worse, which overfitting does not explain."""
    finite = [own for own in training.epochs if math.isfinite(own.train_db)]
    if not finite:
        return []
    best, last = max(finite, key=lambda own: own.train_db), training.last
    fell = best.train_db - last.train_db
    if math.isfinite(last.train_db) and fell < FELL_DB:
        return []
    values = {"best": best.train_db, "epoch": best.number, "last": last.train_db}
    return [Shown(code="fell", values=values, plot=plot_curves(training))]


def _show_harm(training: TrainingFigures) -> list[Shown]:
    """Estimates worse than the mixture from the beginning to the end, at a high rate."""
    gains = [own.dev_gain_db for own in training.epochs if own.dev_gain_db is not None]
    if not gains or training.lr < HIGH_LR or training.last.step < LEAST_STEPS / 3:
        return []
    if max(gains) > NOTHING_DB and gains[-1] > -HARMS_DB:
        return []
    values = {"best": max(gains), "last": gains[-1]}
    return [Shown(code="harm", values=values, plot=plot_curves(training))]


def check_nothing_learned(training: TrainingFigures | None) -> Draft | None:
    """No better than the mixture after many steps at a usual rate."""
    if training is None or training.last.step < LEAST_STEPS or training.lr >= HIGH_LR:
        return None
    gains = [own.dev_gain_db for own in training.epochs if own.dev_gain_db is not None]
    if not gains or max(gains) > NOTHING_DB:
        return None
    gap = training.gap_db
    if gap is not None and gap >= GAP_DB:  # training went on: that is another matter
        return None
    values = {"gain": max(gains), "steps": training.last.step}
    evidence = (Shown(code="nothing_learned", values=values, plot=plot_curves(training)),)
    return Draft(
        code="nothing_learned",
        kind="fault",
        values=values,
        evidence=evidence,
        command=("overfit",),
        opens=True,
    )


def check_overfitted(training: TrainingFigures | None, data: DataFigures) -> Draft | None:
    """Training has left dev behind: how far, and since which epoch."""
    if training is None or training.gap_db is None or training.gap_growth_db is None:
        return None
    gap, growth = training.gap_db, training.gap_growth_db
    if not (gap >= GAP_DB and growth >= GROWTH_DB):
        return None
    since = find_parting(training)
    values = {"gap": gap, "since": since, "best": training.best.number}
    evidence = [show_gap(training, gap), Shown(code="parting", values={"epoch": since})]
    best, last = training.best, training.last
    if best.number < last.number and best.dev_db - last.dev_db > 0.1:
        values_worse = {"best": best.number, "fell": best.dev_db - last.dev_db}
        evidence.append(Shown(code="past_best", values=values_worse))
    can_mix = not data.dynamic and data.origin != "existing"
    if data.listed and not data.dynamic:
        evidence.append(Shown(code="listed_number", values={"n": data.listed}))
    return Draft(
        code="overfitted_fixed" if can_mix else "overfitted",
        kind="limit",
        values=values,
        evidence=tuple(evidence),
        keys=(("training.dynamic_mixing", "true"),) if can_mix else (),
        gain=Gain(measured="dynamic_mixing") if can_mix else Gain(0.5, 1.5),
    )


def find_parting(training: TrainingFigures) -> int:
    """The epoch from which on training stays :data:`GAP_DB` above dev, or more."""
    since = training.last.number
    for epoch in reversed(training.epochs):
        if epoch.train_db - epoch.dev_db < GAP_DB:
            break
        since = epoch.number
    return since


def check_dev_differs(training: TrainingFigures | None) -> Draft | None:
    """A gap that is there from the first epoch on: dev is of other speech than training."""
    if training is None or training.gap_db is None or training.gap_growth_db is None:
        return None
    gap, growth = training.gap_db, training.gap_growth_db
    if len(training.epochs) < 3 or not (gap >= GAP_DB and growth < GROWTH_DB):
        return None
    return Draft(
        code="dev_differs",
        kind="limit",
        values={"gap": gap},
        evidence=(show_gap(training, gap),),
        gain=Gain(0.5, 1.5),
    )


def measure_rise(epochs: tuple[Epoch, ...]) -> float | None:
    """By how many dB dev rises per doubling of steps at the end; None of too few epochs.

    A line through dev against the logarithm of steps, so that one noisy epoch decides nothing.
    """
    finite = [own for own in epochs if math.isfinite(own.dev_db) and own.step > 0]
    if len(finite) < 3:
        return None
    late = [own for own in finite if own.step >= LATE * finite[-1].step]
    chosen = late if len(late) >= 3 else finite[-3:]
    steps = np.log2([own.step for own in chosen])
    return float(np.polyfit(steps, [own.dev_db for own in chosen], 1)[0])


def select_at_high_rate(training: TrainingFigures) -> tuple[Epoch, ...]:
    """The epochs before the rate fell to half: later ones rise by its fall too."""
    if not training.annealed:
        return training.epochs
    return tuple(own for own in training.epochs if own.lr >= ANNEALED * training.lr)


def check_stopped_early(training: TrainingFigures | None, data: DataFigures) -> Draft | None:
    """Dev still rises at the end: how much a doubling of the time would bring."""
    if training is None or training.ended_itself:
        return None
    epochs = select_at_high_rate(training)
    rise = measure_rise(epochs)
    least = RISING_ANNEALED_DB if training.annealed else RISING_DB
    if rise is None or rise < least or _is_past_best(epochs):
        return None
    hours = data.trained_h
    evidence = [_show_rise(training, rise)]
    if hours is not None:
        evidence.append(Shown(code="trained", values={"hours": hours, "paper": PAPER_H}))
    goes_on = training.may_go_on
    values = {"rise": rise, "steps": training.last.step, "epochs": len(training.epochs)}
    if training.last.lr <= 0.1 * training.lr:
        evidence.append(Shown(code="rate_used", values={"last": training.last.lr}))
    return Draft(
        code="stopped_early" if goes_on else "planned_short",
        kind="limit",
        values=values,
        evidence=tuple(evidence),
        keys=(_lengthen(training),),
        gain=Gain(rise, 2 * rise),
    )


def _lengthen(training: TrainingFigures) -> tuple[str, str]:
    """Four times as long, by the key that ended it."""
    minutes = training.budget_min
    if minutes is not None and len(training.epochs) < training.planned_epochs:
        return "training.budget_min", f"{LONGER * minutes:g}"
    return "training.epochs", str(LONGER * len(training.epochs))


def _is_past_best(epochs: tuple[Epoch, ...]) -> bool:
    """Whether dev was best before the end of the curve: what rises then only recovers."""
    best = max(epochs, key=lambda own: own.dev_db)
    return best.step < LATE * epochs[-1].step


def _show_rise(training: TrainingFigures, rise: float) -> Shown:
    points = tuple((float(own.step), own.dev_db) for own in training.epochs)
    plot = PlotDraft(code="rise", lines=(Line("dev", points),), x_log=True)
    return Shown(code="rise", values={"rise": rise, "dev": training.last.dev_db}, plot=plot)


def check_rate_never_lowered(training: TrainingFigures | None) -> Draft | None:
    """Dev stalls while the rate is still what it was: lowering it was left out."""
    if training is None or training.last.step < LEAST_STEPS or training.annealed:
        return None
    rise = measure_rise(training.epochs)
    lowered = training.last.lr < 0.75 * training.lr
    if rise is None or lowered or abs(rise) >= STALLED_DB or len(training.epochs) < 6:
        return None
    gap = training.gap_db
    if gap is not None and gap >= GAP_DB:  # overfitted: another rate does not help
        return None
    return Draft(
        code="rate_never_lowered",
        kind="limit",
        values={"lr": training.lr, "rise": rise},
        evidence=(_show_rise(training, rise), Shown(code="rate", values=_list_rates(training))),
        keys=(("training.schedule", "cosine"),),
        gain=Gain(0.2, 0.8),
    )


def _list_rates(training: TrainingFigures) -> dict[str, object]:
    return {"lr": training.lr, "last": training.last.lr}
