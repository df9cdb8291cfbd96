"""Validation: one dev mixture of its own length at a time, as stage 4 scores them."""

import dataclasses
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

LONGER = 37  # samples, from one mixture to the next: no two are of one length
LENGTH = 5 / 3  # of a dev mixture, in training segments


def measure_validation(bench: "Bench", name: str) -> dict[str, Any]:
    """Milliseconds a mixture, at lengths new to the device's libraries and at the same again.

    Of Asteroid's own layers, of the module as shipped, and with ``training.layout=btc``; float32.
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
    for kind, form in forms.items():
        time_mixtures(form, [lengths[0] - LONGER], device)
        found[f"{kind}_new_ms"] = time_mixtures(form, lengths, device)
        found[f"{kind}_seen_ms"] = time_mixtures(form, lengths, device)
    return found


def _make_module(conf: Conf, device: torch.device, changes: dict[str, Any]) -> SeparationModule:
    training = dataclasses.replace(conf.training, **changes)
    module = SeparationModule(make_model(conf, device, 0), training).to(device)
    module.prepare_eager()
    return module


def time_mixtures(
    form: Callable[[torch.Tensor], torch.Tensor], lengths: list[int], device: torch.device
) -> float:
    """Milliseconds of separating and scoring a mixture, the mean over these lengths."""
    loss, total = make_pit_loss(), torch.zeros((), device=device)
    items = [torch.randn(1, 2, length, device=device) for length in lengths]
    wait_for(device)
    began = time.perf_counter()
    with torch.no_grad():
        for sources in items:
            total += loss(form(sources.sum(1)), sources)
    wait_for(device)
    return 1000 * (time.perf_counter() - began) / len(items)
