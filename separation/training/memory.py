"""How much of a batch goes through the model at once: tried on the device, before training."""

import copy
import dataclasses
import functools
import math

import torch

from separation.config.schema import Conf
from separation.errors import UserError
from separation.training.batch_memory import find_micro_batch
from separation.training.distributed import Ranks
from separation.training.module import SeparationModule


def fit_micro_batch(conf: Conf, module: SeparationModule, ranks: Ranks) -> Conf:
    """With ``training.micro_batch=0``: the largest piece of the batch whose step fits the device.

    Eager steps are tried, which take at least what compiled ones take. All processes take the
    smallest piece that one of them found.

    Args:
        conf: with ``training.batch_size`` as the effective batch.
        module: on its device; its weights and the random numbers are left as they are.
        ranks: the processes.

    Returns:
        ``conf`` with the piece found; ``micro_batch`` stays 0 where all of the share fits.

    Raises:
        UserError: not even one mixture fits.
    """
    training = conf.training
    if training.micro_batch:
        return conf
    share, failure = training.forward_items, None
    try:
        found = find_micro_batch(functools.partial(try_step, conf, module), share)
        n_pieces = share / found
    except UserError as error:  # not before the other processes know: they wait
        failure, n_pieces = error, float("inf")
    n_pieces = ranks.agree([n_pieces])[0]
    if math.isinf(n_pieces):
        raise failure or UserError("another process could not fit a single mixture; see its error.")
    pieces = round(n_pieces)
    size = 0 if pieces == 1 else share // pieces
    return dataclasses.replace(conf, training=dataclasses.replace(training, micro_batch=size))


def try_step(conf: Conf, module: SeparationModule, n_items: int) -> None:
    """A training step on noise with a copy of the model, which is then dropped."""
    trial = SeparationModule(copy.deepcopy(module.model), conf.training)
    trial.to(module.device)
    trial.prepare_eager()
    optimizer = trial.configure_optimizers()
    generator = torch.Generator(device=module.device).manual_seed(0)
    n_samples = round(conf.training.segment_s * conf.audio.sample_rate)
    shape = (n_items, conf.mixtures.n_src, n_samples)
    sources = torch.randn(shape, generator=generator, device=module.device)
    on_gpu = [module.device] if module.device.type == "cuda" else []
    with torch.random.fork_rng(on_gpu):  # dropout draws
        trial.training_step((sources.sum(1), sources), 0).backward()
        optimizer.step()
        # once more, beside the gradients of an earlier piece and the optimiser's state
        trial.training_step((sources.sum(1), sources), 0).backward()
