"""Does a faster step learn as well? Loss and score after equal steps, seed by seed.

    bash run.sh --recipe folder/ConvTasNet --corpus speech=DIR --stop-stage 3
    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.quality --corpus speech=DIR     # a CPU's bf16
    .venv/bin/python -m benchmarks.quality --reference stock --forms ours --device cuda --batch 24

The last, for a GPU, with --corpus, --segment 3 and --steps 400 too.

The small configuration: three seeds of the reference, which give its spread, and then each form. A
seed gives weights and mixtures. Loss: mean of the last tenth of the steps, each on mixtures that
are new to the model; SI-SDRi of the beginnings of 64 dev mixtures, other speakers, by Asteroid's
own layers in float32. results/quality_DEVICE.json gets each training as it ends: what stands there
is not trained again, so the command goes on where it was stopped, and others of the same sizes
(--forms, --seeds) may run beside it.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.steps import Step, make_product_step, make_stock_step
from benchmarks.gpu.timing import describe_device
from benchmarks.learning import Learner, cut_dev
from benchmarks.machine import RESULTS, ROOT, describe_cpu, find_commit
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import open_training
from separation.experiment.open import open_experiment
from separation.files import hold_name, read_json, write_json

RECIPE = "folder/ConvTasNet"
N_DEV, SEEDS = 64, (0, 1, 2)
FORMS: dict[str, dict[str, Any]] = {  # keys of the training section that make it
    "stock": {},  # Asteroid's own step
    "ours": {},
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "bf16-btc": {
        **{"precision": "bf16", "layout": "btc", "own_gradients": "on"},
        "compile": "on",  # what auto takes where the CPU has AMX
    },
}
SIZES = ("reference", "steps", "batch", "segment", "compile")


def open_form(form: str, seed: int, args: argparse.Namespace) -> Experiment:
    """The recipe with a form's keys and this comparison's batches."""
    sets: dict[str, Any] = {"batch_size": args.batch, "segment_s": args.segment, "seed": seed}
    sets |= {"num_workers": 0, "compile": args.compile} | FORMS[form]
    words = [*(f"training.{key}={value}" for key, value in sets.items()), *args.overrides]
    return open_experiment(RECIPE, words, corpora=args.corpus, data=args.data.resolve())


def train(form: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One training: its loss, its score, the CPU seconds of its steps, and the commit."""
    experiment, device = open_form(form, seed, args), torch.device(args.device)
    make: Any = make_stock_step if form == "stock" else make_product_step
    step: Step = make(experiment.conf, device, seed)
    learner = Learner(step, open_training(experiment), args.batch, device)
    last = max(1, args.steps // 10)
    learner.learn(args.steps - last)
    loss = learner.learn(last)
    score = learner.score(cut_dev(experiment, N_DEV, args.segment))
    return {
        "loss": round(loss, 4),
        "dev_si_sdri": round(score, 4),
        "cpu_s": round(learner.cpu_s, 1),
        "commit": find_commit(),
    }


def compare(runs: dict[str, dict[str, Any]], reference: str) -> dict[str, Any]:
    """Spread of the reference's seeds, and where the other trainings lie.

    >>> runs = {"fp32, seed 0": {"loss": -1.0, "dev_si_sdri": 1.0}}
    >>> runs |= {"fp32, seed 1": {"loss": -2.0, "dev_si_sdri": 1.5}}
    >>> runs |= {"bf16, seed 0": {"loss": -1.2, "dev_si_sdri": 0.9}}
    >>> compare(runs, "fp32")["loss"]
    {'low': -2.0, 'high': -1.0, 'others': {'bf16, seed 0': 'within'}}
    >>> compare(runs, "fp32")["dev_si_sdri"]["others"]
    {'bf16, seed 0': 'below'}
    """
    found: dict[str, Any] = {}
    for name in ("loss", "dev_si_sdri"):
        spread = [run[name] for key, run in runs.items() if key.startswith(f"{reference},")]
        low, high = min(spread), max(spread)
        others = {
            key: "below" if run[name] < low else "above" if run[name] > high else "within"
            for key, run in runs.items()
            if not key.startswith(f"{reference},")
        }
        found[name] = {"low": low, "high": high, "others": others}
    return found


def read_runs(path: Path, sizes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The trainings of these sizes that a result holds, by form and seed."""
    earlier = read_json(path) or {}
    if any(earlier.get(name) != value for name, value in sizes.items()):
        return {}
    commit = earlier.get("commit")  # of all, before each had its own
    return {key: {"commit": commit} | run for key, run in earlier["runs"].items()}


def write_run(path: Path, about: dict[str, Any], key: str, run: dict[str, Any]) -> None:
    """Add a training to the result, beside those that other processes wrote meanwhile.

    Args:
        path: of the result.
        about: what all trainings have in common, :data:`SIZES` among it.
        key: form and seed.
        run: see :func:`train`.
    """
    with hold_name(path.parent, path.stem):
        runs = read_runs(path, {name: about[name] for name in SIZES}) | {key: run}
        result = about | {"runs": runs}
        if any(name.startswith(f"{about['reference']},") for name in runs):
            result["spread"] = compare(runs, about["reference"])
        write_json(path, result)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", action="append", default=[], metavar="speech=DIR")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="of run.sh")
    parser.add_argument("--reference", choices=FORMS, default="fp32")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["bf16", "bf16-btc"])
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, metavar="N")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--segment", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--compile", default="auto", help="training.compile, but of bf16-btc")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="K=V")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parse_arguments()
    path = args.out / f"quality_{args.device}.json"
    sizes = {name: getattr(args, name) for name in SIZES}
    on_cpu = args.device == "cpu"
    about = describe_cpu() if on_cpu else describe_device(torch.device(args.device))
    about = {name: value for name, value in about.items() if name != "commit"}
    about |= {"recipe": RECIPE} | sizes
    for seed in args.seeds:
        for form in (args.reference, *args.forms):
            key = f"{form}, seed {seed}"
            if key not in read_runs(path, sizes):
                write_run(path, about, key, train(form, seed, args))
    print(json.dumps(read_json(path), indent=1))


if __name__ == "__main__":
    main()
