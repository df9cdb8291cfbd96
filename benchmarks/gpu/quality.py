"""Does the faster step learn as well? Equal steps from equal weights over equal batches."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmarks.gpu.steps import Step, make_product_step, make_stock_step
from separation.training.loss import make_pit_loss

if TYPE_CHECKING:
    from benchmarks.gpu.cases import Bench


def compare_quality(bench: "Bench") -> dict[str, Any]:
    """Dev SI-SDR of stock for every seed, and of ours for the first seed, after equal steps.

    A seed gives the initial weights and the batches. Dev mixtures are of speakers that no batch
    has; both kinds are scored by Asteroid's own layers in float32.
    """
    seeds, settings = bench.settings.quality_seeds, bench.settings
    conf = settings.confs["small"]
    stock = {}
    for seed in seeds:
        step = make_stock_step(conf, bench.device, seed)
        before_db = score_dev(step.model, bench)
        stock[str(seed)] = {"before": before_db, **_learn(step, bench, seed)}
    ours = _learn(make_product_step(conf, bench.device, seeds[0]), bench, seeds[0])
    scores = [run["dev_si_sdr"] for run in stock.values()]
    return {
        "steps": settings.quality_steps,
        "batch": settings.batch,
        "dev_mixtures": settings.quality_dev,
        "speech": "real" if bench.material.speech else "made-up voices",
        "stock": stock,
        "ours": ours,
        "stock_low": min(scores),
        "stock_high": max(scores),
        "ours_is": _place(ours["dev_si_sdr"], scores),
    }


def _place(value: float, others: list[float]) -> str:
    if value < min(others):
        return "below the spread"
    return "above the spread" if value > max(others) else "within the spread"


def _learn(step: Step, bench: "Bench", seed: int) -> dict[str, float]:
    settings = bench.settings
    loader = bench.material.open_packed_loader(settings.batch, settings.quality_steps, 0, seed)
    losses = []
    for mixtures, sources in loader:
        losses.append(step.run((mixtures.to(bench.device), sources.to(bench.device))))
    last = losses[-max(1, len(losses) // 10) :]
    train_db = -float(torch.stack(last).float().mean())
    return {"train_si_sdr": train_db, "dev_si_sdr": score_dev(step.model, bench)}


def score_dev(model: nn.Module, bench: "Bench") -> float:
    """Mean SI-SDR in dB over the dev mixtures, best permutation."""
    loss, total = make_pit_loss(), 0.0
    with torch.inference_mode():
        for mixture, sources in bench.material.dev:
            estimates = model(mixture[None].to(bench.device)).float()
            total -= float(loss(estimates, sources[None].to(bench.device)))
    return total / len(bench.material.dev)
