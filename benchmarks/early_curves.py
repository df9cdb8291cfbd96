"""The first steps of SepReformer-T and of two Conv-TasNets, on real speech on a CPU.

    bash run.sh --recipe folder/SepReformer --corpus speech=DIR --stop-stage 3
    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.early_curves --corpus speech=DIR \\
        [--minutes 12] [--segment 1] [--compile off] [--set KEY=VALUE ...]

Each as its recipe trains it, but batches of 2 short mixtures, 50 steps of warm-up, float32: the
same mixtures of the training speakers in the same order from the same seed. SI-SDRi of 32
beginnings of dev mixtures, other speakers; minutes are CPU time of the steps.
Writes results/early_curves/MODEL.json after every point, and draws results/early_curves.png and the
tables of docs/sepreformer.md from those files: --draw does that alone.
"""

import argparse
import logging
from pathlib import Path
from typing import Any, TypedDict

import torch

from benchmarks.gpu.steps import make_product_step
from benchmarks.learning import Learner, cut_dev
from benchmarks.machine import RESULTS, ROOT, describe_cpu
from separation.config.load import load_conf
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import open_training
from separation.experiment.open import open_experiment
from separation.files import read_json, write_json, write_text

FOLDER = RESULTS / "early_curves"
PAGE = ROOT / "docs" / "sepreformer.md"
BEGIN, END = "<!-- early curves -->\n", "<!-- end of early curves -->"
BATCH, WARM_UP, N_DEV = 2, 50, 32
EVERY = (25, 25, 50, 100)  # steps until the next score; the last for ever
MODELS = {  # recipe, and whose model it gets
    "SepReformer-T": ("folder/SepReformer", ""),
    "Conv-TasNet, small": ("folder/ConvTasNet", ""),
    "Conv-TasNet, best": ("folder/ConvTasNet", "librimix/ConvTasNet"),
}


class Point(TypedDict):
    """A score: after so many steps and CPU minutes of them."""

    step: int
    minutes: float
    dev_si_sdri: float
    train_loss: float


def open_model(name: str, args: argparse.Namespace) -> Experiment:
    """The recipe with the batches of this comparison."""
    recipe, other = MODELS[name]
    sets: dict[str, Any] = {"batch_size": BATCH, "segment_s": args.segment, "num_workers": 0}
    sets |= {"warmup_steps": WARM_UP, "seed": args.seed, "precision": "fp32"}
    words = [f"training.{key}={value}" for key, value in sets.items()]
    words += [f"training.compile={args.compile}", *args.overrides]
    if other:
        model = load_conf(ROOT, other, []).as_dict()["model"]
        words += [f"model.{key}={value}" for key, value in model.items()]
    return open_experiment(recipe, words, corpora=args.corpus, data=args.data.resolve())


def train(name: str, args: argparse.Namespace) -> None:
    """Train for some CPU minutes; the curve so far is in its file after every score."""
    experiment, device = open_model(name, args), torch.device("cpu")
    step = make_product_step(experiment.conf, device, args.seed)
    learner = Learner(step, open_training(experiment), BATCH, device)
    dev = cut_dev(experiment, N_DEV, args.segment)
    points: list[Point] = []
    result = describe_cpu() | {"seed": args.seed, "batch": BATCH, "segment_s": args.segment}
    result |= {
        "model": name,
        "compiled": step.module.is_compiled,
        "dev_mixtures": len(dev),
        "parameters": sum(value.numel() for value in step.model.parameters()),
        "points": points,
    }
    while learner.cpu_s < 60 * args.minutes:
        loss = learner.learn(EVERY[min(len(points), len(EVERY) - 1)])
        points.append(
            {
                "step": len(learner.losses),
                "minutes": round(learner.cpu_s / 60, 3),
                "dev_si_sdri": round(learner.score(dev), 3),
                "train_loss": round(loss, 3),
            }
        )
        print(name, points[-1], flush=True)
        write_json(args.out / f"{name.replace(', ', '_')}.json", result)


def interpolate(points: list[Point], by: str, place: float) -> float | None:
    """The score at a step or minute, on the line between two points; None beyond them."""
    values: list[Any] = list(points)
    for before, after in zip([values[0], *values], values, strict=False):
        if before[by] <= place <= after[by]:
            share = (place - before[by]) / max(after[by] - before[by], 1e-9)
            return before["dev_si_sdri"] + share * (after["dev_si_sdri"] - before["dev_si_sdri"])
    return None


def choose_places(curves: dict[str, list[Point]], by: str) -> list[float]:
    """The first model's last two points, and the first and the last end of all."""
    first: list[Any] = list(next(iter(curves.values())))
    last: list[Any] = [points[-1] for points in curves.values()]
    ends = [end[by] for end in last]
    return sorted({*(point[by] for point in first[-2:]), min(ends), max(ends)})


def format_table(curves: dict[str, list[Point]], by: str) -> str:
    """Markdown: dev SI-SDRi at equal steps, or at equal minutes."""
    places = choose_places(curves, by)
    heads = [f"{place:.0f} steps" if by == "step" else f"{place:.1f} min" for place in places]
    lines = [f"| dev SI-SDRi in dB after | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name, points in curves.items():
        scores = [interpolate(points, by, place) for place in places]
        cells = [f"{score:.2f}" if score is not None else "–" for score in scores]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot_curves(curves: dict[str, list[Point]], path: Path) -> None:
    """Dev SI-SDRi against steps, and against minutes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    for axis, by, label in zip(axes, ("step", "minutes"), ("steps", "CPU minutes"), strict=True):
        for name, points in curves.items():
            values: Any = points
            x = [point[by] for point in values]
            axis.plot(x, [p["dev_si_sdri"] for p in values], marker="o", ms=3, label=name)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
        axis.set_xscale("log")
    axes[0].set_ylabel("dev SI-SDRi (dB)")
    axes[1].legend()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def read_curves(folder: Path) -> dict[str, list[Point]]:
    """The curves that were measured, by model."""
    results = {name: read_json(folder / f"{name.replace(', ', '_')}.json") for name in MODELS}
    return {name: result["points"] for name, result in results.items() if result}


def make_tables(curves: dict[str, list[Point]]) -> str:
    """Markdown: at equal steps, and at equal minutes."""
    return "\n".join(format_table(curves, by) for by in ("step", "minutes")) if curves else ""


def draw(folder: Path) -> None:
    """Plot and tables from the files of all models."""
    curves = read_curves(folder)
    plot_curves(curves, folder.parent / "early_curves.png")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    write_text(PAGE, before + BEGIN + make_tables(curves) + END + rest.split(END)[1])
    print(make_tables(curves))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", action="append", default=[], metavar="speech=DIR")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="of run.sh")
    parser.add_argument("--minutes", type=float, default=12.0, help="CPU minutes of each model")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--segment", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--compile", default="auto", help="training.compile")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="K=V")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--draw", action="store_true", help="from the files that are there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.draw:
        for name in args.models:
            train(name, args)
    draw(args.out)


if __name__ == "__main__":
    main()
