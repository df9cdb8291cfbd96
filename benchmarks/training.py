"""Training steps on the CPU, side by side with stock Asteroid.

    .venv/bin/python -m benchmarks.training [--threads 2] [--turns 5]

The small configuration, batch 4 of 3 s at 8 kHz, in turns: Asteroid's own model, eager,
float32, torch's Adam and clipping; ours as stage 4 runs it (separation.training.step.TrainStep), in
float32 and, where the CPU has bfloat16 instructions, with autocast. The loader alone:
benchmarks/loading.py.
Trainings of equal wall time: benchmarks/equal_wall.py. Writes benchmarks/results/training.json.
"""

import argparse
import json
import logging
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.machine import RESULTS, ROOT, describe_cpu, read_flags
from separation.config.load import load_conf
from separation.files import write_json
from separation.models.asteroid import import_asteroid
from separation.models.registry import build_model
from separation.training.distributed import Distributed
from separation.training.module import SeparationModule
from separation.training.step import TrainStep

BATCH, SEGMENT_S, RATE = 4, 3.0, 8000
STEPS = 4
TARGETS = {"float32, times stock": 2.5, "bf16 where the CPU has it, times stock": 2.8}


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise will do: no step depends on the values."""
    sources = 0.1 * torch.randn(BATCH, 2, round(SEGMENT_S * RATE))
    return sources.sum(dim=1), sources


def make_stock() -> Callable[[], None]:
    """Asteroid's training step, as its recipes do it."""
    losses = import_asteroid("losses")
    loss = losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx")
    conf = load_conf(ROOT, "librimix/ConvTasNet_small", [])
    model = build_model(conf.model, 2, RATE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    mixtures, sources = make_batch()

    def step() -> None:
        optimizer.zero_grad()
        loss(model(mixtures), sources).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def make_ours(precision: str) -> Callable[[], None]:
    """Stage 4's own step."""
    overrides = [f"training.batch_size={BATCH}", f"training.precision={precision}"]
    conf = load_conf(ROOT, "librimix/ConvTasNet_small", overrides)
    distributed = Distributed(conf.training, torch.device("cpu"))
    module = SeparationModule(build_model(conf.model, 2, RATE), conf.training)
    module.prepare(round(SEGMENT_S * RATE))
    train_step, number = TrainStep(module, conf.training, distributed), iter(range(10**9))
    mixtures, sources = make_batch()
    return lambda: train_step.run(next(number), mixtures, sources, 1e-3)


def measure_steps(turns: int) -> dict[str, list[float]]:
    """Seconds of audio a second, of each form in turn."""
    forms = {"stock": make_stock(), "ours, float32": make_ours("fp32")}
    if "avx512_bf16" in read_flags():
        forms["ours, bf16"] = make_ours("bf16")
    for step in forms.values():
        for _ in range(3):
            step()
    rates: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(turns):
        for name, step in forms.items():
            began = time.perf_counter()
            for _ in range(STEPS):
                step()
            rates[name].append(STEPS * BATCH * SEGMENT_S / (time.perf_counter() - began))
    return rates


def summarise(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Median and range of each, and its ratio to stock within a turn."""
    stock = rates["stock"]
    told = {}
    for name, values in rates.items():
        ratios = [value / other for value, other in zip(values, stock, strict=True)]
        told[name] = {
            "audio_s_per_s": [
                round(v, 2) for v in (statistics.median(values), min(values), max(values))
            ],
            "times_stock": [
                round(v, 2) for v in (statistics.median(ratios), min(ratios), max(ratios))
            ],
        }
    return told


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = describe_cpu() | {"targets": TARGETS, "steps": summarise(measure_steps(args.turns))}
    write_json(RESULTS / "training.json", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
