"""Loading alone: how many seconds of training mixtures a second, in every way there is.

    .venv/bin/python -m benchmarks.loading [--packed DIR] [--batches N] [--workers N]

DIR holds packed speakers (stage 3); without it a pack of noise is made, 40 speakers of 20
utterances of 3 to 15 s. Batches of 24 mixtures of two speakers, 4 s at 8 kHz, plain and with
speeds of 0.9 to 1.1, noise and level differences. Prints a table and writes
benchmarks/results/loading.json. A GPU is not used; with one, only planning and gathering stay
on the CPU.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.machine import read_cpu
from separation.config.load import load_conf
from separation.corpora.pack import STEP, PackedAudio, PackedUtterance
from separation.files import format_rows, write_json
from separation.mixtures.dynamic.device import DeviceMixer
from separation.mixtures.dynamic.host import DynamicMixtures

ROOT = Path(__file__).resolve().parents[1]
RATE, SEGMENT_S, BATCH = 8000, 4, 24
AUDIO_S = SEGMENT_S * BATCH
CPU = torch.device("cpu")


def write_pack(folder: Path, n_speakers: int, n_utterances: int) -> None:
    """Speakers of noise; their content does not matter here, their lengths do."""
    generator = np.random.default_rng(0)
    for number in range(n_speakers):
        rows, offset = [], 0
        lengths = generator.integers(3 * RATE, 15 * RATE, n_utterances).tolist()
        for place, n_samples in enumerate(lengths):
            row = PackedUtterance(
                speaker=f"s{number}",
                path=f"{place}.wav",
                offset=offset,
                n_samples=n_samples,
                sample_rate=RATE,
                scale=STEP,
                peak=0.4,
                loudness_lufs=-25.0,
            )
            rows.append(dataclasses.asdict(row))
            offset += n_samples
        samples = generator.normal(0, 3000, offset).clip(-13000, 13000).astype("<i2")
        samples.tofile(folder / f"s{number}.i16")
        (folder / f"s{number}.csv").write_text(format_rows(rows))


def make_items(packed: Path, *, rich: bool) -> DynamicMixtures:
    """Two speakers; ``rich``: also speeds, noise and level differences."""
    speakers = sorted(path.stem for path in packed.glob("*.i16"))
    conf = load_conf(ROOT, "librimix/ConvTasNet_small", []).mixtures
    if not rich:
        return DynamicMixtures(PackedAudio(packed, speakers), RATE * SEGMENT_S, conf, 0)
    conf = dataclasses.replace(conf, train_level_by="difference")
    noise = PackedAudio(packed, speakers[:4])
    audio = PackedAudio(packed, speakers[4:])
    return DynamicMixtures(audio, RATE * SEGMENT_S, conf, 0, noise, (0.9, 1.1))


def time_batches(batches: Iterable[Any]) -> dict[str, float]:
    """Seconds of audio a second of wall and of this process's CPU; the first batch warms up."""
    waiting = iter(batches)
    next(waiting)
    wall, cpu = time.perf_counter(), time.process_time()
    n_batches = sum(1 for _ in waiting)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": AUDIO_S * n_batches / wall, "cpu": AUDIO_S * n_batches / max(cpu, 1e-9)}


def load_items(items: DynamicMixtures, n_batches: int, n_workers: int) -> Iterable[Any]:
    """The loader of training on the host."""
    numbers = range(n_batches * BATCH)
    return DataLoader(items, batch_size=BATCH, sampler=numbers, num_workers=n_workers)


def list_ways(
    items: DynamicMixtures, n_batches: int, n_workers: int
) -> dict[str, Callable[[], Iterable[Any]]]:
    """Name -> what gives batches; planning gives plans, as the mixer's thread does."""
    on_host = DeviceMixer(items, BATCH, CPU, keep="host")
    on_device = DeviceMixer(items, BATCH, CPU, keep="device")
    return {
        "DataLoader, main process": lambda: load_items(items, n_batches, 0),
        f"DataLoader, {n_workers} workers": lambda: load_items(items, n_batches, n_workers),
        "DeviceMixer on CPU, samples mapped": lambda: on_host.batches(0, n_batches),
        "DeviceMixer on CPU, samples in a tensor": lambda: on_device.batches(0, n_batches),
        "planning, numbers only": lambda: (
            [items.plan(item) for item in range(BATCH * b, BATCH * (b + 1))]
            for b in range(n_batches)
        ),
        "planning, tensors, as for a GPU's own samples": lambda: map(
            on_device.plan_batch, range(n_batches)
        ),
        "planning and gathering, as for a GPU without": lambda: map(
            on_host.plan_batch, range(n_batches)
        ),
    }


def measure(packed: Path, n_batches: int, n_workers: int, repeats: int) -> dict[str, Any]:
    """Every way of both kinds of mixtures, in turns."""
    results: dict[str, Any] = {}
    for kind, rich in (("plain", False), ("speed, noise, differences", True)):
        ways = list_ways(make_items(packed, rich=rich), n_batches, n_workers)
        turns = [{name: time_batches(way()) for name, way in ways.items()} for _ in range(repeats)]
        results[kind] = {
            name: {clock: [round(turn[name][clock]) for turn in turns] for clock in ("wall", "cpu")}
            for name in ways
        }
    return results


def format_table(results: dict[str, Any]) -> str:
    """Markdown; the CPU of workers is not the main process's, so it is left out there."""
    lines = ["| mixtures | way | s of audio a second | a CPU second |", "|---|---|---|---|"]
    for kind, ways in results.items():
        for name, clocks in ways.items():
            wall, cpu = (f"{statistics.median(clocks[clock]):,.0f}" for clock in ("wall", "cpu"))
            lines.append(f"| {kind} | {name} | {wall} | {'' if 'workers' in name else cpu} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packed", type=Path)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/loading.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        packed = args.packed or Path(name)
        if args.packed is None:
            write_pack(packed, 40, 20)
        results = measure(packed, args.batches, args.workers, args.repeats)
    result = {
        "cpu": read_cpu(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "batch": BATCH,
        "segment_s": SEGMENT_S,
        "sample_rate": RATE,
        "batches": args.batches,
        "torch_threads": 1,
        "packed": "given" if args.packed else "noise, 40 speakers of 20 utterances",
        "s_of_audio_a_second": results,
    }
    write_json(args.out, result)
    print(format_table(json.loads(json.dumps(results))))


if __name__ == "__main__":
    main()
