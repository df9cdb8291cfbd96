"""Validation of unlike lengths: Asteroid's layers one by one, and as stage 4 does it."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.steps import make_model, make_stock_step
from benchmarks.gpu.timing import time_calls
from separation.config.schema import Conf
from separation.mixtures.signals import Mixture
from separation.mixtures.table import parse_row
from separation.training.distributed import Distributed, SignalWatch
from separation.training.module import SeparationModule
from separation.training.validation import Validator

LONGER = 37  # samples, from one mixture to the next: no two are of one length


def measure_validation(
    conf: Conf, n_samples: int, n_mixtures: int, device: torch.device
) -> dict[str, Any]:
    """Milliseconds of separating and scoring a mixture in float32, the shortest of ``n_samples``.

    At lengths that are new to the device's libraries, and at the same again.
    """
    stock = make_stock_step(conf, device)
    stock.model.eval()
    module = SeparationModule(make_model(conf, device, 0), conf.training).to(device)
    module.prepare_eager()
    distributed = Distributed(conf.training, device)

    def open_stock(dev: list[Any]) -> Callable[[], object]:
        return lambda: score_each(stock, dev, device)

    def open_ours(dev: list[Any]) -> Callable[[], object]:
        validator: Any = Validator(conf.training, dev, distributed)  # type: ignore[arg-type]
        return lambda: validator.score(module, SignalWatch())

    lengths = [n_samples + LONGER * k for k in range(n_mixtures)]
    found: dict[str, Any] = {"mixtures": n_mixtures, "shortest_samples": n_samples}
    for name, open_way in (("stock", open_stock), ("ours", open_ours)):
        open_way(make_dev([n_samples - LONGER], conf))()  # warms up
        score = open_way(make_dev(lengths, conf))
        for seen in ("new", "seen"):
            found[f"{name}_{seen}_ms"] = 1000 * time_calls(score, 1, device) / n_mixtures
    return found


def make_dev(lengths: list[int], conf: Conf) -> list[Mixture]:
    """Noise of these lengths."""
    row, rate, generator = (
        parse_row({"mixture_ID": "noise"}),
        conf.audio.sample_rate,
        torch.Generator(),
    )
    voices = [torch.randn(conf.mixtures.n_src, n, generator=generator) for n in lengths]
    return [
        Mixture(row=row, sample_rate=rate, mixture=own.sum(0).numpy(), sources=own.numpy())
        for own in voices
    ]


@torch.no_grad()
def score_each(stock: Any, dev: list[Mixture], device: torch.device) -> torch.Tensor:
    """The sum of the losses of Asteroid's model, mixture by mixture."""
    total = torch.zeros((), device=device)
    for mixture in dev:
        sources = torch.from_numpy(mixture.sources).to(device)
        wave = torch.from_numpy(mixture.mixture).to(device)
        total += stock.loss(stock.model(wave[None]), sources[None])
    return total
