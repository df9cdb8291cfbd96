"""The learning rate of a step, relative to its base."""

import math

from separation.config.training import TrainingConf

LOWEST = 0.01  # share of the base to which cosine and annealing fall


EARLY_FACTOR, EARLY_EPOCHS = 0.8, 5  # of early_weight, once it falls (Shin et al. 2024)


def fade_early(conf: TrainingConf, epoch: int) -> float:
    """Weight of the loss of early estimates in an epoch, counted from 0."""
    beyond = epoch - conf.early_hold
    if not conf.early_hold or beyond < 0:
        return conf.early_weight
    return conf.early_weight * EARLY_FACTOR ** (1 + beyond // EARLY_EPOCHS)


def scale_lr(conf: TrainingConf, step: int, n_planned: int, elapsed_s: float) -> float:
    """Factor of the base rate in a step.

    Warm-up rises from 0 over ``warmup_steps``; ``cosine`` falls over the planned steps, or over
    the time budget where that is further gone; annealing falls linearly over the last
    ``anneal_share`` of the time budget. The factors multiply. Halving on a plateau changes the
    base itself.

    Args:
        conf: training config.
        step: number of the step in the whole run, from 0.
        n_planned: steps of all epochs.
        elapsed_s: seconds of training so far.
    """
    spent = elapsed_s / (60 * conf.budget_min)
    factor = min(1.0, (step + 1) / max(1, conf.warmup_steps))
    if conf.schedule == "cosine":
        gone = min(1.0, max(step / n_planned, spent))
        factor *= LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * gone))
    if conf.anneal_share > 0:
        factor *= min(1.0, max(LOWEST, (1 - spent) / conf.anneal_share))
    return factor
