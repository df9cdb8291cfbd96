"""Validation: dev mixtures of a length each, one by one and together, as stage 4 scores them."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.gpu.steps import make_model
from benchmarks.gpu.timing import wait_for
from separation.config.schema import Conf
from separation.training.loss import make_pit_loss
from separation.training.module import SeparationModule

if TYPE_CHECKING:
    from benchmarks.gpu.cases import Bench

SeparateAll = Callable[[list[torch.Tensor]], list[torch.Tensor]]

LONGER = 37  # samples, from one mixture to the next: no two are of one length
LENGTH = 5 / 3  # of a dev mixture, in training segments


def measure_validation(bench: "Bench", name: str) -> dict[str, Any]:
    """Milliseconds a mixture, at lengths new to the device's libraries and at the same again.

    Of Asteroid's own layers, of the module's layers and with ``training.layout=btc``, one by one;
    and together, as stage 4 validates. Float32.
    """
    settings = bench.settings
    return compare_forms(
        settings.confs[name], round(LENGTH * settings.n_samples), settings.validated, bench.device
    )


def compare_forms(
    conf: Conf, n_samples: int, n_mixtures: int, device: torch.device
) -> dict[str, Any]:
    """See :func:`measure_validation`; the shortest mixture has ``n_samples``."""
    lengths = [n_samples + LONGER * k for k in range(n_mixtures)]
    stock = make_model(conf, device, 0).eval()
    forms: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"stock": stock}
    for kind, changes in (("ours", {}), ("btc", {"layout": "btc"})):
        forms[kind] = _make_module(conf, device, changes).separate
    found: dict[str, Any] = {"mixtures": len(lengths), "shortest_samples": lengths[0]}
    ways: dict[str, SeparateAll] = {
        kind: functools.partial(separate_each, form) for kind, form in forms.items()
    }
    ways["together"] = _make_module(conf, device, {}).separator.separate  # as validation does
    for kind, way in ways.items():
        time_mixtures(way, [lengths[0] - LONGER], device)
        found[f"{kind}_new_ms"] = time_mixtures(way, lengths, device)
        found[f"{kind}_seen_ms"] = time_mixtures(way, lengths, device)
    return found


def separate_each(
    form: Callable[[torch.Tensor], torch.Tensor], mixtures: list[torch.Tensor]
) -> list[torch.Tensor]:
    """Mixtures ``(time,)`` through a model one by one."""
    return [form(mixture[None])[0] for mixture in mixtures]


def _make_module(conf: Conf, device: torch.device, changes: dict[str, Any]) -> SeparationModule:
    training = dataclasses.replace(conf.training, **changes)
    module = SeparationModule(make_model(conf, device, 0), training).to(device)
    module.prepare_eager()
    return module


def time_mixtures(separate: SeparateAll, lengths: list[int], device: torch.device) -> float:
    """Milliseconds of separating and scoring a mixture, the mean over these lengths."""
    loss, total = make_pit_loss(), torch.zeros((), device=device)
    items = [torch.randn(2, length, device=device) for length in lengths]
    wait_for(device)
    began = time.perf_counter()
    with torch.no_grad():
        found = separate([sources.sum(0) for sources in items])
        for estimates, sources in zip(found, items, strict=True):
            total += loss(estimates[None], sources[None])
    wait_for(device)
    return 1000 * (time.perf_counter() - began) / len(items)
