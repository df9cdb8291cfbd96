"""Real-time factors on a CPU: seconds that a second of audio takes in every network.

    .venv/bin/python -m benchmarks.real_time [--only NAME] [--table]

Every shipped configuration (recipes of one network are one row) and the published checkpoints'
shapes, with fresh weights, on which no time depends: noise of 4 to 30 s, the latter being
``separate``'s longest chunk, so that a network takes some two seconds for it. On one core and on
two, median of three (one time where four seconds take more than ten): the layers of Asteroid or of
the paper, the form that runs here in float32, and in bfloat16 where the CPU has it and the network
that form, which is what ``separate`` takes then. Below 1 is faster than real time. Needs a quiet
machine. Writes benchmarks/results/real_time.json anew after each row, and goes on where it was
interrupted.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.exporting import Network, list_networks
from benchmarks.machine import RESULTS, ROOT, describe_cpu
from separation.config.load import load_conf
from separation.files import read_json, write_json
from separation.models.chunks import CHUNK_S
from separation.models.inference import Separator
from separation.models.precision import has_fast_bf16
from separation.models.registry import build_model

RESULT = RESULTS / "real_time.json"
SHORT_S, TAKEN_S, SLOW_S, N_TURNS, CORES = 4.0, 2.0, 10.0, 3, (1, 2)
WAYS = ("plain", "float32", "bfloat16")
CPU = torch.device("cpu")
# Voices, rate and encoder of the Hub's checkpoints in conf/published_models.yml; all else, and all
# of those for two voices at 8 kHz, is librimix/ConvTasNet.
PUBLISHED = {
    "JorisCos/ConvTasNet_Libri2Mix_*_16k": (2, 16000, 32),
    "JorisCos/ConvTasNet_Libri3Mix_*_8k": (3, 8000, 16),
    "JorisCos/ConvTasNet_Libri3Mix_*_16k": (3, 16000, 32),
}


def list_rows() -> Iterator[tuple[str, Network]]:
    """Every network with its name."""
    for network, recipes in list_networks().items():
        yield ", ".join(recipes), network
    for name, (n_src, rate, kernel) in PUBLISHED.items():
        filters = [f"model.kernel_size={kernel}", f"model.stride={kernel // 2}"]
        conf = load_conf(ROOT, "librimix/ConvTasNet", filters).model
        yield name, Network(conf=conf, n_src=n_src, sample_rate=rate)


def make_ways(network: Network) -> dict[str, Callable[[torch.Tensor], Any]]:
    """Each way that the network has: a mixture ``(time,)`` through it."""
    torch.manual_seed(0)
    model = build_model(network.conf, network.n_src, network.sample_rate).eval()
    exact, narrow = (Separator(model, CPU, bf16=bf16) for bf16 in (False, True))
    ways: dict[str, Callable[[torch.Tensor], Any]] = {"plain": lambda mixture: model(mixture[None])}
    if exact.joined is not None:
        ways["float32"] = lambda mixture: exact.separate([mixture])
        if has_fast_bf16(CPU):
            ways["bfloat16"] = lambda mixture: narrow.separate([mixture])
    return ways


@torch.inference_mode()
def measure(network: Network) -> dict[str, Any]:
    """Real-time factors by way and number of cores; seconds of the mixture."""
    ways = make_ways(network)
    torch.set_num_threads(max(CORES))
    second = torch.randn(network.sample_rate)
    ways["plain"](second)
    factor = time_call(ways["plain"], second)
    seconds = round(min(CHUNK_S, max(SHORT_S, TAKEN_S / factor)), 1)
    n_turns = 1 if factor * seconds > SLOW_S else N_TURNS
    mixture = torch.randn(round(seconds * network.sample_rate))
    factors: dict[str, dict[str, float]] = {}
    for n_cores in CORES:
        torch.set_num_threads(n_cores)
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(n_turns):
            for name, way in ways.items():
                took[name].append(time_call(way, mixture) / seconds)
        factors[str(n_cores)] = {
            name: float(f"{statistics.median(own):.3g}") for name, own in took.items()
        }
    return {"mixture_s": seconds, "turns": n_turns, "factors": factors}


def time_call(way: Callable[[torch.Tensor], Any], mixture: torch.Tensor) -> float:
    """Wall seconds."""
    began = time.perf_counter()
    way(mixture)
    return time.perf_counter() - began


def format_table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of docs/recordings.md."""
    head = [f"{way}, {n} core{'s' * (n > 1)}" for n in CORES for way in WAYS]
    yield f"| network | rate | {' | '.join(head)} |"
    yield "|---|---|" + "---|" * len(head)
    for name, row in rows.items():
        cells = [
            f"{row['factors'][str(n)][way]:.3g}" if way in row["factors"][str(n)] else ""
            for n in CORES
            for way in WAYS
        ]
        yield f"| {name} | {row['sample_rate'] // 1000} kHz | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="networks that have this in their name")
    parser.add_argument("--table", action="store_true", help="print what there is, as a table")
    args = parser.parse_args()
    rows = (read_json(RESULT) or {}).get("rows", {})
    for name, network in [] if args.table else list_rows():
        if args.only in name and name not in rows:
            rows[name] = {"sample_rate": network.sample_rate, **measure(network)}
            print(name, rows[name], flush=True)
            write_json(RESULT, describe_cpu() | {"load": os.getloadavg(), "rows": rows})
    print("\n".join(format_table(rows)))


if __name__ == "__main__":
    main()
