"""Training steps side by side: Asteroid's as its recipe has it, and ours, whole or in parts."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from separation.config import Conf
from separation.models.asteroid_models import build_model, has_fast_bf16, import_asteroid
from separation.models.fast_layers import make_fast
from separation.training.module import SeparationModule
from separation.training.ranks import Ranks
from separation.training.step import Stepper

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Measures:
    """What makes our step faster; each can be left out."""

    compile: bool = True
    bf16: bool = True
    fused_depthwise: bool = True
    fused_norm: bool = True
    fused_adam: bool = True
    cuda_graphs: bool = False

    def without(self, name: str) -> "Measures":
        """All but one."""
        return dataclasses.replace(self, **{name: False})


class Step(Protocol):
    """One training step of a model: forward, loss, backward, clip, update.

    Attributes:
        model: Asteroid's model, whose parameters the step changes.
        bytes_per_value: of an activation.
    """

    model: nn.Module
    bytes_per_value: int

    def run(self, batch: Batch) -> torch.Tensor:
        """Mixtures ``(batch, time)`` and sources ``(batch, n_src, time)`` to the loss.

        The loss stays on the device: nothing here waits for it.
        """


@dataclass
class PlainStep:
    """A step written out: what Asteroid's recipe does, with whatever form and optimizer."""

    model: nn.Module
    compute_loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    optimizer: torch.optim.Optimizer
    clip: float
    bytes_per_value: int

    def run(self, batch: Batch) -> torch.Tensor:
        """See :class:`Step`."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compute_loss(*batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.detach()


class ProductStep:
    """The very step of stage 4: its module and its :class:`separation.training.step.Stepper`."""

    def __init__(self, model: nn.Module, conf: Conf, device: torch.device) -> None:
        module = SeparationModule(model, conf.training).to(device)
        module.prepare_speed(round(conf.training.segment_s * conf.audio.sample_rate))
        self.model = module.model
        self.bytes_per_value = 2 if module.use_bf16 else 4
        self._stepper = Stepper(module, conf.training, Ranks(conf.training, device))
        self._lr, self._number = conf.training.lr, 0

    def run(self, batch: Batch) -> torch.Tensor:
        """See :class:`Step`."""
        self._stepper.step(self._number, *batch, self._lr)
        self._number += 1
        return self._stepper.loss.detach()


def make_loss() -> nn.Module:
    """Asteroid's PIT wrapper over its pairwise negative SI-SDR."""
    losses = import_asteroid("losses")
    return losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")


def make_model(conf: Conf, device: torch.device, seed: int) -> nn.Module:
    """Asteroid's model with the weights of this seed, the same for every kind of step."""
    torch.manual_seed(seed)
    return build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate).to(device)


def make_stock_step(conf: Conf, device: torch.device, seed: int = 0) -> Step:
    """Asteroid's recipe: float32, eager, its own layers, torch's Adam as it comes."""
    model, loss = make_model(conf, device, seed), make_loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=conf.training.lr)
    return PlainStep(model, lambda x, y: loss(model(x), y), optimizer, conf.training.clip, 4)


def make_product_step(conf: Conf, device: torch.device, seed: int = 0) -> Step:
    """Our step as stage 4 trains."""
    return ProductStep(make_model(conf, device, seed), conf, device)


def make_parts_step(
    conf: Conf, device: torch.device, measures: Measures, backend: str, seed: int = 0
) -> Step:
    """Our step put together from its parts, so that each can be left out.

    Args:
        conf: model and training.
        device: cpu or cuda.
        measures: what to use.
        backend: of ``torch.compile``.
        seed: of the weights.
    """
    model, loss = make_model(conf, device, seed), make_loss()
    form = make_fast(model, fuse_depthwise=measures.fused_depthwise)
    if not measures.fused_norm:
        restore_norms(form, model)
    if measures.compile:
        mode = "reduce-overhead" if measures.cuda_graphs else None
        form = torch.compile(form, dynamic=False, mode=mode, backend=backend)  # type: ignore[assignment]
    use_bf16 = measures.bf16 and (device.type == "cpu" or has_fast_bf16(device))

    def compute_loss(mixtures: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bf16):
            estimates = form(mixtures)
        return loss(estimates.float(), sources)

    adam = torch.optim.Adam(
        model.parameters(), lr=conf.training.lr, fused=True if measures.fused_adam else None
    )
    return PlainStep(model, compute_loss, adam, conf.training.clip, 2 if use_bf16 else 4)


def restore_norms(form: nn.Module, model: nn.Module) -> None:
    """Put Asteroid's own global norms back into a fast form, with the same parameters.

    Raises:
        RuntimeError: the fast form has no module in their place.
    """
    restored = 0
    for name, original in model.named_modules():
        if type(original).__name__ == "GlobLN":
            parent, _, own = name.rpartition(".")
            try:
                setattr(form.get_submodule(parent), own, original)
            except AttributeError as error:
                raise RuntimeError(
                    f"the fast form has no {parent}, whose norm to restore"
                ) from error
            restored += 1
    if not restored:
        raise RuntimeError("this model has no global norm")
