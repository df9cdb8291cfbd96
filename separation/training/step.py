"""A training step: gradient accumulation, clipping, skipping what is not finite, EMA of weights."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from separation.config.training import TrainingConf
from separation.errors import UserError
from separation.training.distributed import Distributed
from separation.training.module import SeparationModule

logger = logging.getLogger(__name__)


class WeightAverage:
    """Exponential moving average of parameters (Polyak and Juditsky 1992).

    The decay grows with the steps, ``(1 + n) / (10 + n)``, up to its value, so that the first
    random weights are soon forgotten.
    """

    def __init__(self, parameters: list[torch.Tensor], decay: float) -> None:
        self.decay = decay
        self._parameters = parameters
        self.values = [parameter.detach().clone() for parameter in parameters]

    def update(self, n_steps: int, kept: torch.Tensor) -> None:
        """Take in the weights after step ``n_steps``; ``kept``: 0 where it was skipped, else 1."""
        decay = min(self.decay, (1 + n_steps) / (10 + n_steps))
        with torch.no_grad():
            changes = torch._foreach_sub(self._parameters, self.values)
            torch._foreach_mul_(changes, (1 - decay) * kept)
            torch._foreach_add_(self.values, changes)


class TrainStep:
    """Optimiser steps; nothing in a step makes the host wait for a GPU.

    Args:
        module: on its device, prepared.
        conf: training config.
        distributed: the processes; gradients are averaged over them.

    Attributes:
        loss_sum: sum of the losses of the epoch's counted steps, float64.
        loss: of the last step, over all processes; not finite where it was skipped.
        gradient_norm: of the last step, before clipping.
        n_skipped: in the epoch; exact after :meth:`read_guards`.
    """

    READ_GUARDS_EVERY = 20  # steps whose guards a GPU's host reads at once

    def __init__(
        self, module: SeparationModule, conf: TrainingConf, distributed: Distributed
    ) -> None:
        self.conf, self.distributed = conf, distributed
        self.optimizer: Any = module.configure_optimizers()
        self.parameters: list[torch.Tensor] = self.optimizer.param_groups[0]["params"]
        self._skips_by_itself = bool(self.optimizer.defaults.get("fused"))
        self.average = WeightAverage(self.parameters, conf.ema) if conf.ema else None
        is_blended = bool(conf.init_from and conf.start_share)
        self.start = [own.detach().clone() for own in self.parameters] if is_blended else None
        unused = module.list_unused_parameters() if distributed.world_size > 1 else set()
        self._module = distributed.wrap_module(module, unused)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=module.device)
        self.loss = self.gradient_norm = torch.zeros((), device=module.device)
        self.n_skipped = self.n_skipped_in_row = 0
        self._guards: list[tuple[int, torch.Tensor]] = []

    def run(self, number: int, mixtures: torch.Tensor, sources: torch.Tensor, lr: float) -> None:
        """Step ``number`` on this process's share of the batch.

        Args:
            number: counted over the whole run.
            mixtures: ``(batch, time)``, on the device.
            sources: ``(batch, n_src, time)``.
            lr: learning rate.

        Raises:
            UserError: too many steps in a row were not finite.
        """
        # Dropout of a step is that of its number, so a resumed run has the same.
        torch.manual_seed(derive_seed(self.conf.seed, number, self.distributed.rank))
        self.optimizer.zero_grad()
        loss = self._backward(mixtures, sources)
        self.loss = self.distributed.all_reduce_sum(loss) / self.distributed.world_size
        bad = self._update(lr)
        self.loss_sum += torch.where(bad > 0, 0.0, self.loss.double())
        if self.average is not None:
            self.average.update(number + 1, 1 - bad)
        self._guards.append((number, bad))
        if bad.device.type == "cpu" or len(self._guards) >= self.READ_GUARDS_EVERY:
            self.read_guards()

    def _backward(self, mixtures: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """Gradients of the mean loss over the share, piece by piece; returns that loss."""
        size = self.conf.forward_items
        pieces = list(zip(mixtures.split(size), sources.split(size), strict=True))
        fabric = self.distributed.fabric
        total = torch.zeros((), device=mixtures.device)
        for place, piece in enumerate(pieces):
            has_more = place + 1 < len(pieces)
            with fabric.no_backward_sync(self._module, enabled=has_more):
                loss = self._module.training_step(piece, place) / len(pieces)
                fabric.backward(loss)
            total += loss.detach()
        return total

    def _update(self, lr: float) -> torch.Tensor:
        """Clip and step; 1 where the step was skipped as not finite, else 0, on the device."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        self.gradient_norm = get_total_norm(gradients)
        finite = torch.isfinite(self.loss) & torch.isfinite(self.gradient_norm)
        if self.conf.clip:
            clip_grads_with_norm_(self.parameters, self.conf.clip, self.gradient_norm)
        bad = (~finite).float()
        group = self.optimizer.param_groups[0]
        base = group["lr"]  # the plateau's, which the schedule scales for this step only
        group["lr"] = lr
        if self._skips_by_itself:
            self.optimizer.found_inf = bad
        if self._skips_by_itself or not bad:  # a plain optimiser has no guard, so the host looks
            self.optimizer.step()
        group["lr"] = base
        return bad

    def read_guards(self) -> None:
        """Count and report the steps skipped since the last call, for which a GPU is waited for."""
        if not self._guards:
            return
        skipped = torch.stack([bad for _, bad in self._guards]).tolist()
        for (number, _), bad in zip(self._guards, skipped, strict=True):
            self.n_skipped_in_row = self.n_skipped_in_row + 1 if bad else 0
            self.n_skipped += bool(bad)
            if bad:
                self._report_skipped(number)
        self._guards.clear()

    def _report_skipped(self, number: int) -> None:
        size = self.conf.batch_size
        items = f"items {number * size} to {(number + 1) * size - 1}"
        logger.warning("step %d (%s) skipped: loss or gradient not finite", number, items)
        if self.n_skipped_in_row >= self.conf.max_skipped:
            raise UserError(
                f"training stopped at step {number} ({items}): loss or gradient were not finite "
                f"{self.n_skipped_in_row} times in a row (training.max_skipped); lower "
                "training.lr or set training.precision=fp32, under a new --tag."
            )

    def mean_loss(self, n_steps: int) -> float:
        """Mean loss of the epoch's steps that counted, in dB."""
        return float(self.loss_sum) / max(1, n_steps - self.n_skipped)

    def begin_epoch(self) -> None:
        """Forget the running means of the epoch before."""
        self.loss_sum.zero_()
        self.n_skipped = 0

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """The parameters hold the weights that are validated and saved for a while."""
        kept = self.compute_kept()
        if kept is self.parameters:
            yield
            return
        trained = [parameter.detach().clone() for parameter in self.parameters]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, kept)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, trained)

    def compute_kept(self) -> list[torch.Tensor]:
        """The weights, or their average; with ``start_share`` on the way back to the first ones.

        So a fine-tuned model keeps more of what the first weights were good at (WiSE-FT, Wortsman
        et al. 2022).
        """
        weights = self.average.values if self.average else self.parameters
        if self.start is None:
            return weights
        with torch.no_grad():
            changes = torch._foreach_sub(self.start, weights)
            torch._foreach_mul_(changes, self.conf.start_share)
            return list(torch._foreach_add(weights, changes))

    def state_dict(self) -> dict[str, Any]:
        """Optimiser, average of weights, first weights, running means."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "ema": self.average.values if self.average else None,
            "start": self.start,
            "loss_sum": self.loss_sum,
            "n_skipped": self.n_skipped,
            "n_skipped_in_row": self.n_skipped_in_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_optimizer(self.optimizer, state["optimizer"])
        if self.average is not None:
            for value, saved in zip(self.average.values, state["ema"], strict=True):
                value.copy_(saved)
        if self.start is not None:
            for value, saved in zip(self.start, state["start"], strict=True):
                value.copy_(saved)
        self.loss_sum.copy_(state["loss_sum"])
        self.n_skipped = state["n_skipped"]
        self.n_skipped_in_row = state["n_skipped_in_row"]


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up a checkpoint's state, but stay fused or not, which may change when a run goes on.

    torch takes ``fused`` from the checkpoint, and the counts of steps lie where that wants them:
    float32 on the parameters' device for fused kernels, on the CPU for others.
    """
    optimizer.load_state_dict(state)
    fused = optimizer.defaults.get("fused")
    for group in optimizer.param_groups:
        if "fused" in group:
            group["fused"] = fused
        for parameter in group["params"]:
            values = optimizer.state.get(parameter, {})
            if isinstance(values.get("step"), torch.Tensor):
                device = parameter.device if fused else torch.device("cpu")
                values["step"] = values["step"].to(device, torch.float32)


def derive_seed(seed: int, step: int, rank: int) -> int:
    """63 bits of their own for each step and process.

    >>> derive_seed(0, 1, 0) != derive_seed(0, 0, 1)
    True
    """
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)
