"""Training steps side by side: Asteroid's as its recipe has it, and ours."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from separation.config.schema import Conf
from separation.models.asteroid import import_asteroid
from separation.models.registry import build_model
from separation.training.distributed import Distributed
from separation.training.module import SeparationModule
from separation.training.schedule import scale_lr
from separation.training.step import TrainStep

Batch = tuple[torch.Tensor, torch.Tensor]
NEVER = 10**9  # steps: the end of a schedule that nothing ends


class Step(Protocol):
    """One training step of a model: forward, loss, backward, clip, update."""

    model: nn.Module  # Asteroid's, whose parameters the step changes
    bytes_per_value: int  # of an activation

    def run(self, batch: Batch) -> torch.Tensor:
        """Mixtures ``(batch, time)`` and sources ``(batch, n_src, time)`` to the loss.

        The loss stays on the device: nothing here waits for it.
        """


class StockStep:
    """A step as Asteroid's recipe does it: float32, eager, its own layers, loss and Adam.

    Lightning's loop around it is left out, which is kind to stock.
    """

    bytes_per_value = 4

    def __init__(self, model: nn.Module, conf: Conf) -> None:
        self.model, self.clip = model, conf.training.clip
        self.optimizer = torch.optim.Adam(model.parameters(), lr=conf.training.lr)
        losses = import_asteroid("losses")
        self.loss = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")

    def run(self, batch: Batch) -> torch.Tensor:
        """See :class:`Step`."""
        mixtures, sources = batch
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.model(mixtures), sources)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.detach()


class ProductStep:
    """The very step of stage 4: its module and its :class:`separation.training.step.TrainStep`."""

    def __init__(self, model: nn.Module, conf: Conf, device: torch.device) -> None:
        self.module = module = SeparationModule(model, conf.training).to(device)
        module.prepare(round(conf.training.segment_s * conf.audio.sample_rate))
        self.model = module.model
        self.bytes_per_value = 2 if module.use_bf16 else 4
        self.train_step = TrainStep(module, conf.training, Distributed(conf.training, device))
        self._conf, self._number = conf.training, 0

    def run(self, batch: Batch) -> torch.Tensor:
        """See :class:`Step`."""
        factor = scale_lr(self._conf, self._number, NEVER, 0.0)
        self.train_step.run(self._number, *batch, self._conf.lr * factor)
        self._number += 1
        return self.train_step.loss.detach()


def make_model(conf: Conf, device: torch.device, seed: int) -> nn.Module:
    """Asteroid's model with the weights of this seed, the same for every kind of step."""
    torch.manual_seed(seed)
    return build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate).to(device)


def make_stock_step(conf: Conf, device: torch.device, seed: int = 0) -> Step:
    """Asteroid's recipe, with torch's own choices of precision, which our steps change."""
    torch.backends.cuda.matmul.allow_tf32 = False
    return StockStep(make_model(conf, device, seed), conf)


def make_product_step(
    conf: Conf, device: torch.device, seed: int = 0, changes: Mapping[str, Any] | None = None
) -> ProductStep:
    """Our step as stage 4 trains.

    Args:
        conf: model and training.
        device: cpu or cuda.
        seed: of the weights.
        changes: keys of the training section that differ, such as a measure switched off.
    """
    training = dataclasses.replace(conf.training, **(changes or {}))
    conf = dataclasses.replace(conf, training=training)
    return ProductStep(make_model(conf, device, seed), conf, device)
