"""Cheap checks that name what keeps a model from learning: data, bases, loss, parameters.

Each returns one sentence that names the fault, or an empty string.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from separation.config.training import TrainingConf
from separation.text import list_first
from separation.training.module import SeparationModule, list_unused_parameters

Item = tuple[torch.Tensor, torch.Tensor]  # mixture (time,), sources (n_src, time)

SAME = 0.999  # correlation of a mixture with the sum of its sources, where nothing is added
RELATED = 0.3  # the same with noise; of unrelated signals it is near 0
TRIES = 8  # of a step that may be wrong at random
PERFECT_DB = 40.0  # SI-SDR that the loss must give to the targets themselves


def check_items(items: Sequence[Item], again: Sequence[Item], with_noise: bool) -> str:
    """Whether each mixture is the sum of its own sources, and the same when drawn again.

    Args:
        items: the mixtures.
        again: the same item numbers, drawn once more.
        with_noise: the mixtures hold more than the sources.
    """
    least = RELATED if with_noise else SAME
    for number, (mixture, sources) in enumerate(items):
        likeness = _correlate(mixture, sources.sum(0))
        if likeness < least:
            return (
                f"the sources of mixture {number} do not add up to it (correlation of their sum "
                f"with it {likeness:.2f}): the targets belong to other mixtures."
            )
    for number, (first, second) in enumerate(zip(items, again, strict=True)):
        if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
            return (
                f"mixture {number} or its sources are others each time they are drawn, so an epoch "
                "does not see again what the last one saw."
            )
    return ""


def _correlate(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return float((a @ b) / (a.norm() * b.norm()).clamp(min=1e-12))


def check_round_trip(model: nn.Module, n_samples: int, sample_rate: int) -> str:
    """Whether what enters the encoder leaves the decoder at its own place.

    Two impulses, at a quarter and three quarters of the segment, must come out as far apart as
    they went in, whatever the bases are, trained or not.
    """
    if not hasattr(model, "forward_encoder") or not hasattr(model, "forward_decoder"):
        return ""
    places = (n_samples // 4, n_samples - n_samples // 4)
    device = next(model.parameters()).device
    with torch.no_grad():
        came_out = [_find_centre(model, place, n_samples, device) for place in places]
    wanted, found = places[1] - places[0], came_out[1] - came_out[0]
    if abs(found - wanted) < 0.1 * wanted:
        return ""
    parts = [getattr(model, name, None) for name in ("encoder", "decoder")]
    strides = [getattr(getattr(part, "encoder", part), "stride", "?") for part in parts]
    return (
        f"the decoder does not undo the encoder: an impulse {wanted / sample_rate:.2f} s later "
        f"comes out {found / sample_rate:.2f} s later, as where strides differ (encoder "
        f"{strides[0]}, decoder {strides[1]} samples)."
    )


def _find_centre(model: nn.Module, place: int, n_samples: int, device: torch.device) -> float:
    """Centre of energy, in samples, of an unmasked impulse after encoder and decoder."""
    wav = torch.zeros(1, 1, n_samples, device=device)
    wav[..., place] = 1.0
    frames = model.forward_encoder(wav)  # type: ignore[operator]
    decoded = model.forward_decoder(frames.unsqueeze(1))  # type: ignore[operator]
    energy = decoded.flatten().double() ** 2
    times = torch.arange(len(energy), device=device)
    return float((energy * times).sum() / energy.sum().clamp(min=1e-30))


class _Oracle(nn.Module):
    """Gives the targets themselves, in another order than they were given."""

    def __init__(self, sources: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("sources", sources.flip(1))
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` to ``(batch, n_src, time)``."""
        return self.sources[: len(mixtures)] + 0 * self.unused  # type: ignore[index]


def check_loss(kind: type[SeparationModule], items: Sequence[Item], conf: TrainingConf) -> str:
    """Whether the training step gives perfect estimates of these items a perfect loss.

    Args:
        kind: the class whose ``training_step`` trains.
        items: at least two mixtures.
        conf: training config.
    """
    mixtures, sources = (torch.stack(part) for part in zip(*items, strict=True))
    plain = dataclasses.replace(
        conf, compile="off", cuda_graphs="off", precision="fp32", batch_size=len(items)
    )
    module = kind(_Oracle(sources), plain)
    module.prepare(mixtures.shape[-1])
    scores = [-module.training_step([mixtures, sources], 0).item() for _ in range(TRIES)]
    if min(scores) > PERFECT_DB:
        return ""
    return (
        f"the training step's loss gives the targets themselves {min(scores):.1f} dB in place of "
        f"more than {PERFECT_DB:.0f}: it compares estimates with targets of other mixtures, or "
        "does not search the order of the sources."
    )


class ParameterWatch:
    """Which parameters training leaves as they were, though they could change the output.

    Args:
        model: before its first step.
        mixtures: ``(batch, time)``, to find what the output depends on.
    """

    def __init__(self, model: nn.Module, mixtures: torch.Tensor) -> None:
        self.model = model
        self.before = {name: value.detach().clone() for name, value in model.named_parameters()}
        self.without_gradient: set[str] = set()
        self.unused = self._list_unused(mixtures)

    def _list_unused(self, mixtures: torch.Tensor) -> set[str]:
        """Parameters that no output depends on; but a whole part without gradient is a fault."""
        unused = list_unused_parameters(self.model, mixtures)
        names = [name for name, _ in self.model.named_parameters()]
        parts = {name.split(".")[0] for name in names}
        whole = {p for p in parts if all(n in unused for n in names if n.split(".")[0] == p)}
        return {name for name in unused if name.split(".")[0] not in whole}

    def note_gradients(self) -> None:
        """Note, after a backward pass, what got a gradient."""
        self.without_gradient = {
            name
            for name, value in self.model.named_parameters()
            if value.grad is None or not value.grad.any()
        }

    def find_fault(self) -> str:
        """The sentence on what has not changed since the beginning."""
        now = dict(self.model.named_parameters())
        still = [
            name
            for name, old in self.before.items()
            if name not in self.unused and torch.equal(old, now[name].detach())
        ]
        if not still:
            return ""
        names = list_first(still)
        if set(still) & self.without_gradient:
            return f"no gradient reaches {names}: frozen, detached or left out of the output."
        return (
            f"{names} did not change although a gradient is there: the learning rate is zero, or "
            "the optimiser does not hold them."
        )
