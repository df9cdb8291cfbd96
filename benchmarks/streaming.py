"""CPU seconds that a causal model takes for each second of audio, by blocks and at once.

    .venv/bin/python -m benchmarks.streaming [--seconds 20] [--turns 3]

One thread; fresh weights, noise at 8 kHz, as `separate --stream` runs it (levels included). CPU
seconds of the process, so that other work on the machine counts less; the ways take turns. The
largest difference is to the whole signal at once, as a share of its largest output. Writes
benchmarks/results/streaming.json after each model, and goes on where it was interrupted.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import find_commit
from separation.config.load import load_conf
from separation.files import read_json, write_json
from separation.models.registry import build_model
from separation.recordings.job import Settings
from separation.recordings.stream import Stream

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "streaming.json"
RATE = 8000
BLOCKS_MS = (10, 20, 50, 100, 500)
CASES = {
    "librimix/ConvTasNet/causal": [],
    "librimix/ConvTasNet/causal, cgLN": ["model.norm_type=cgLN"],
    "folder/ConvTasNet/causal": [],
    "librimix/STFTMask, causal": ["model.causal=true", "model.norm_type=cLN"],
    "LSTMTasNet of one direction": [
        "model.name=LSTMTasNet",
        "model.bidirectional=false",
    ],
}


def build(case: str) -> torch.nn.Module:
    """The case's network with fresh weights."""
    torch.manual_seed(0)
    recipe = case.partition(",")[0]
    if "LSTMTasNet" in case:
        recipe = "folder/STFTMask"  # names its model only
    return build_model(load_conf(ROOT, recipe, CASES[case]).model, 2, RATE).eval()


def stream(model: torch.nn.Module, samples: np.ndarray, block_ms: int) -> np.ndarray:
    """The tracks ``(n_src, time)``."""
    settings = Settings(
        model=model, device=torch.device("cpu"), out=Path(), block_s=block_ms / 1000
    )
    way, n_block = Stream(settings, RATE), RATE * block_ms // 1000
    starts = range(0, len(samples), n_block)
    blocks = [way.feed(samples[start : start + n_block]) for start in starts]
    return np.concatenate([*blocks, way.finish()], 1)


def find_difference(model: torch.nn.Module, samples: np.ndarray) -> float:
    """Of blocks of 20 ms from the whole signal, before levels."""
    from separation.models.streaming import StreamingSeparator

    separator = StreamingSeparator(model)
    mixture = torch.from_numpy(samples)
    blocks = [separator.feed(block) for block in mixture.split(RATE // 50)]
    found = torch.cat([*blocks, separator.finish()], 1)
    with torch.inference_mode():
        whole = model(mixture[None])[0]
    return float((found - whole).abs().max() / whole.abs().max())


def measure(case: str, samples: np.ndarray, turns: int) -> dict[str, Any]:
    """CPU seconds for each second of audio: medians over turns."""
    model, seconds = build(case), len(samples) / RATE
    taken: dict[str, list[float]] = {}
    for _ in range(turns):
        for block_ms in BLOCKS_MS:
            begun = time.process_time()
            stream(model, samples, block_ms)
            taken.setdefault(f"{block_ms} ms", []).append(time.process_time() - begun)
        begun = time.process_time()
        with torch.inference_mode():
            model(torch.from_numpy(samples)[None])
        taken.setdefault("at once", []).append(time.process_time() - begun)
    return {
        "parameters": sum(own.numel() for own in model.parameters()),
        "largest_difference": find_difference(model, samples),
        "cpu_s_per_s": {
            name: [round(statistics.median(own) / seconds, 4), *_range(own, seconds)]
            for name, own in taken.items()
        },
    }


def _range(taken: list[float], seconds: float) -> tuple[float, float]:
    return round(min(taken) / seconds, 4), round(max(taken) / seconds, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=3)
    words = parser.parse_args()
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    samples = (0.1 * generator.standard_normal(round(words.seconds * RATE))).astype(np.float32)
    about = {"commit": find_commit(), "torch": torch.__version__, "seconds": words.seconds}
    about["turns"] = words.turns
    before = read_json(RESULT) or {} if RESULT.is_file() else {}
    cases = before.get("cases", {}) if before.get("about") == about else {}
    for case in CASES:
        if case not in cases:
            cases[case] = measure(case, samples, words.turns)
            write_json(RESULT, {"about": about, "cases": cases})
        print(case, cases[case], flush=True)


if __name__ == "__main__":
    main()
