"""Separating whole mixtures on a CPU, side by side: validation's and stage 5's ways, then and now.

    .venv/bin/python -m benchmarks.separating [--threads 1] [--turns 9] [--recipe RECIPE]

Mixtures of noise of 3 to 6 s at 8 kHz, one by one, in turns: Asteroid's model (stage 5 until now),
its layers with a fused norm (validation until now), the form for inference of
separation/models/fast/inference.py in float32 (both now) and with products in bfloat16 (validation
where training runs in it). CPU seconds of the whole process, so that other work on the machine
counts less. Largest differences are to Asteroid's outputs. Writes
benchmarks/results/separating.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import find_commit, read_cpu, read_flags
from separation.config.load import load_conf
from separation.files import write_json
from separation.jobs import keep_freed_memory
from separation.models.fast.layers import make_fast
from separation.models.inference import Separator
from separation.models.registry import build_model

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "separating.json"
RATE, LENGTHS_S = 8000, (3.0, 4.2, 5.1, 6.0)
CPU = torch.device("cpu")


def make_ways(recipe: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Each way by its name: a mixture ``(time,)`` to estimates ``(n_src, time)``."""
    torch.manual_seed(0)
    model = build_model(load_conf(ROOT, recipe, []).model, 2, RATE).eval()
    fused = make_fast(model).eval()
    exact, narrow = (Separator(model, CPU, bf16=bf16) for bf16 in (False, True))
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "Asteroid's model": lambda mixture: model(mixture[None])[0],
        "fused norm": lambda mixture: fused(mixture[None])[0],
        "inference, float32": lambda mixture: exact.separate([mixture])[0],
    }
    if "avx512_bf16" in read_flags():
        ways["inference, bfloat16"] = lambda mixture: narrow.separate([mixture])[0]
    return ways


@torch.inference_mode()
def measure_ways(recipe: str, turns: int) -> dict[str, dict[str, Any]]:
    """Seconds of audio in a CPU second, how often Asteroid's, and the largest difference to it."""
    ways = make_ways(recipe)
    mixtures = [torch.randn(round(length_s * RATE)) for length_s in LENGTHS_S]
    outputs = {name: [way(mixture) for mixture in mixtures] for name, way in ways.items()}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            began = time.process_time()
            for mixture in mixtures:
                way(mixture)
            rates[name].append(sum(LENGTHS_S) / (time.process_time() - began))
    stock = "Asteroid's model"
    return {
        name: {
            "audio_s_per_cpu_s": summarise(rates[name]),
            "times_asteroid": summarise(divide(rates[name], rates[stock])),
            "times_fused_norm": summarise(divide(rates[name], rates["fused norm"])),
            "difference": find_difference(outputs[name], outputs[stock]),
        }
        for name in ways
    }


def divide(rates: list[float], others: list[float]) -> list[float]:
    """Ratios within each turn."""
    return [rate / other for rate, other in zip(rates, others, strict=True)]


def summarise(values: list[float]) -> list[float]:
    """Median, lowest, highest."""
    return [round(v, 2) for v in (statistics.median(values), min(values), max(values))]


def find_difference(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """The largest, relative to the largest output."""
    pairs = zip(found, expected, strict=True)
    return max(float((ours - own).abs().max() / own.abs().max()) for ours, own in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--recipe", default="librimix/ConvTasNet_small")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    about = {
        "cpu": read_cpu(),
        "flags": read_flags(),
        "threads": args.threads,
        "torch": torch.__version__,
        "commit": find_commit(),
        "recipe": args.recipe,
    }
    result = about | {"ways": measure_ways(args.recipe, args.turns)}
    write_json(RESULT, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
