"""Which configuration fits which card: computed from what a training step saves, on the CPU.

    .venv/bin/python -m benchmarks.batch_memory
    .venv/bin/python -m benchmarks.batch_memory SepReformer-T     # these rows alone

Measures what short steps of every configuration save (separation/training/micro_batch.py),
computes the memory of whole ones and the largest micro-batch of an effective batch of 24 for
cards of 8, 12, 24 and 80 GB. Writes benchmarks/results/batch_memory.json and the tables of
docs/which-gpu.md.
No GPU is used: the figures are computed, not measured on one.
"""

import contextlib
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.machine import read_cpu
from separation.config.load import load_conf
from separation.files import read_json, write_json, write_text
from separation.models import sepreformer_network
from separation.models.fast.layers import make_fast
from separation.models.recompute import recompute
from separation.models.registry import build_model
from separation.training.micro_batch import MARGIN, StepMemory, list_divisors

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "batch_memory.json"
PAGE = ROOT / "docs" / "which-gpu.md"
BEGIN, END = "<!-- computed -->\n", "<!-- end of computed -->"
RECIPES = {
    "small": "librimix/ConvTasNet_small",
    "best, L16": "librimix/ConvTasNet",
    "best, L32": "librimix/ConvTasNet/L32",
    "best, L40": "librimix/ConvTasNet/L40",
    "SepReformer-T": "librimix/SepReformer",
    "SepReformer-T, recompute": "librimix/SepReformer",
    "SepReformer-S": "librimix/SepReformer/S",
    "SepReformer-B": "librimix/SepReformer/B",
    "SepReformer-M": "librimix/SepReformer/M",
    "SepReformer-L": "librimix/SepReformer/L",
}
# Attention grows with the square of the length, so these are measured at whole segments, of one
# length, at one rate. The other rate has as many frames.
WITH_ATTENTION = tuple(name for name in RECIPES if name.startswith("SepReformer"))
RECOMPUTED = ("SepReformer-T, recompute",)  # training.recompute=true
RATES_HZ, SEGMENTS_S, CARDS_GB = (8000, 16000), (3, 4), (8, 12, 24, 80)
BATCH, MEASURED_S = 24, 0.2
CONTEXT_BYTES = 2**30  # assumed: CUDA's context, libraries and their workspaces


def measure_configuration(name: str, rate: int) -> list[dict[str, Any]]:
    """Bytes and micro-batches of every segment length and precision of one configuration."""
    conf = load_conf(ROOT, RECIPES[name], [f"audio.sample_rate={rate}"])
    with FakeTensorMode(allow_non_fake_inputs=True):  # sizes alone, no memory
        return list_rows(name, build_model(conf.model, 2, rate), rate)


def list_rows(name: str, model: Any, rate: int) -> list[dict[str, Any]]:
    """The rows of a network, see :func:`measure_configuration`."""
    fast = model if name in WITH_ATTENTION else make_fast(model)
    rows = []
    for precision in ("fp32", "bf16"):
        for segment_s in SEGMENTS_S[-1:] if name in WITH_ATTENTION else SEGMENTS_S:
            measured_s = segment_s / 2 if name in WITH_ATTENTION else MEASURED_S
            with recompute_all_but_one(model) if name in RECOMPUTED else contextlib.nullcontext():
                memory = StepMemory(fast, precision, round(measured_s * rate))
            n_samples = segment_s * rate
            rows.append(
                {"configuration": name, "sample_rate": rate, "segment_s": segment_s}
                | {"precision": precision, "one_bytes": memory.estimate(1, n_samples).total}
                | {"whole_bytes": memory.estimate(BATCH, n_samples).total}
                | {"micro_batch": {str(gb): find_largest(memory, n_samples, gb) for gb in CARDS_GB}}
            )
    return rows


@contextlib.contextmanager
def recompute_all_but_one(network: sepreformer_network.SepReformer) -> Iterator[None]:
    """SepReformer's stages keep their inputs alone, but for the last, which is the largest.

    That is the peak of the backward pass: the inputs of all stages, and one that is run again.
    """
    last = network.decoder_stages[-1]

    def run(stage: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        return stage(*inputs) if stage is last else recompute(stage, *inputs)

    network.recomputes = True
    with mock.patch.object(sepreformer_network, "recompute", run):
        yield
    network.recomputes = False


def find_largest(memory: StepMemory, n_samples: int, card_gb: int) -> int:
    """The largest divisor of the batch that fits the card with a margin; 0: none."""
    room = card_gb * 2**30 - CONTEXT_BYTES
    for size in list_divisors(BATCH):
        if (1 + MARGIN) * memory.estimate(size, n_samples).total <= room:
            return size
    return 0


def measure_stock() -> dict[str, Any]:
    """Asteroid's own form of the best configuration, fp32: its recipe's batch of 3 s at 8 kHz."""
    conf = load_conf(ROOT, RECIPES["best, L16"], [])
    memory = StepMemory(build_model(conf.model, 2, 8000), "fp32", round(MEASURED_S * 8000))
    return {"whole_bytes": memory.estimate(BATCH, 3 * 8000).total}


def format_tables(result: dict[str, Any]) -> str:
    """Markdown: a row a configuration, a column a card, both precisions in a cell."""
    heads = [f"{gb} GB" for gb in CARDS_GB]
    lines = [
        f"| configuration | rate | segment | GB of a step of {BATCH}: fp32, bf16 | "
        f"{' | '.join(heads)} |",
        "|---" * (4 + len(CARDS_GB)) + "|",
    ]
    for wide, narrow in _pair_precisions(result["rows"]):
        cells = []
        for gb in map(str, CARDS_GB):
            sizes = [row["micro_batch"][gb] for row in (wide, narrow)]
            cells.append(", ".join(str(size) if size else "none" for size in sizes))
        gigabytes = [f"{row['whole_bytes'] / 2**30:.1f}" for row in (wide, narrow)]
        lines.append(
            f"| {wide['configuration']} | {wide['sample_rate'] // 1000} kHz | "
            f"{wide['segment_s']} s | {', '.join(gigabytes)} | {' | '.join(cells)} |"
        )
    stock = result["stock_best_fp32_3s_8k"]["whole_bytes"] / 2**30
    lines += [
        "",
        f"Asteroid's own layers, best L16, 8 kHz, 3 s, fp32, a step of 24: {stock:.1f} GB.",
    ]
    return "\n".join(lines) + "\n"


def _pair_precisions(rows: list[dict[str, Any]]) -> list[tuple[dict, dict]]:
    narrow = {
        (row["configuration"], row["sample_rate"], row["segment_s"]): row
        for row in rows
        if row["precision"] == "bf16"
    }
    return [
        (row, narrow[row["configuration"], row["sample_rate"], row["segment_s"]])
        for row in rows
        if row["precision"] == "fp32"
    ]


def place_tables(page: str, tables: str) -> str:
    """The page with its computed part replaced."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + tables + END + rest.split(END)[1]


def measure_rows(names: list[str]) -> list[dict[str, Any]]:
    """Rows of these configurations anew, the others' as they are recorded; all where none is."""
    rows = []
    for name in RECIPES:
        if names and name not in names:
            rows += [r for r in read_json(RESULT)["rows"] if r["configuration"] == name]
            continue
        for rate in RATES_HZ[:1] if name in WITH_ATTENTION else RATES_HZ:
            rows += measure_configuration(name, rate)
    return rows


def main() -> None:
    names = sys.argv[1:]
    torch.manual_seed(0)
    rows = measure_rows(names)
    result = {
        "note": "computed, not measured on a GPU",
        "cpu": read_cpu(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "effective_batch": BATCH,
        "margin": MARGIN,
        "context_bytes_assumed": CONTEXT_BYTES,
        "stock_best_fp32_3s_8k": (
            read_json(RESULT)["stock_best_fp32_3s_8k"] if names else measure_stock()
        ),
        "rows": rows,
    }
    write_json(RESULT, result)
    write_text(PAGE, place_tables(PAGE.read_text(encoding="utf-8"), format_tables(result)))
    print(format_tables(json.loads(json.dumps(result))))


if __name__ == "__main__":
    main()
