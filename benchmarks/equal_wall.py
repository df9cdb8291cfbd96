"""Equal wall time on the mini recipe's corpus: Asteroid's own training and ours.

    .venv/bin/pip install --no-deps 'torch_optimizer<0.2' pytorch_ranger   # asteroid.engine's
    bash run.sh --stop-stage 3 --data DATA
    .venv/bin/python -m benchmarks.equal_wall --data DATA --work EMPTY_FOLDER [--minutes 10]

Stock: Asteroid's System in Lightning's Trainer, its layers in float32, its LibriMix data set over
WAV files with worker processes, Adam, clipping and halving on a plateau, as its recipe has them.
Ours: stage 4 as shipped. The same model and seed, batch 4 of 2 s, epochs of 300 steps and the same
schedule; stock's WAV files hold the first items that ours mixes on the fly, more than it comes to
in the time, so that diversity does not decide. Both score the whole dev set after each epoch, and
that counts, as compiling with an empty cache does. Writing the WAV files does not.
Writes results/equal_wall.{json,png}.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import logging
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import soundfile
import torch
from torch.utils.data import DataLoader

from benchmarks.machine import RESULTS, find_commit, read_cpu, read_flags
from separation.config.schema import Conf
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import open_split, open_training
from separation.experiment.open import open_experiment
from separation.files import format_rows, read_rows, write_json, write_text
from separation.mixtures.dynamic.host import FixedMixtures
from separation.models.asteroid import import_asteroid
from separation.models.registry import build_model
from separation.training.loop import train
from separation.training.module import SeparationModule

N_WAVS = 6000  # mixtures of 2 s; stock comes to some 4,500 in ten minutes
HALVE_AFTER = 5  # epochs, of Asteroid's recipe
WORKERS = 1  # of its loader: there are two cores; its recipe has 4


def import_librimix() -> Any:
    """``asteroid.data.LibriMix``; librosa, which only its video data set uses, may be absent."""
    try:
        return import_asteroid("data").LibriMix
    except ModuleNotFoundError as error:
        if error.name != "librosa":
            raise
        sys.modules["librosa"] = types.ModuleType("librosa")
        return import_asteroid("data").LibriMix


def open_mini(data: Path, exp: Path, minutes: float) -> Experiment:
    """The mini recipe on Asteroid's schedule: no warm-up, no annealing."""
    changes = {
        "budget_min": minutes,
        "examples_every": 0,
        "warmup_steps": 0,
        "anneal_share": 0.0,
        "halve_after": HALVE_AFTER,
        "early_stop": 0,
    }
    sets = [f"training.{name}={value}" for name, value in changes.items()]
    return open_experiment("mini/ConvTasNet/from_scratch", sets, data=data, exp=exp)


def write_wavs(items: Any, folder: Path, sample_rate: int, n_wavs: int) -> Path:
    """The first items as 16-bit WAV files, and the table that LibriMix's data set reads."""
    names, rows = ("mix", "s1", "s2"), []
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(n_wavs):
        mixture, sources = items[index]
        paths = [folder / name / f"m{index:05d}.wav" for name in names]
        for path, signal in zip(paths, (mixture, *sources), strict=True):
            if not path.is_file():
                soundfile.write(path, signal.numpy(), sample_rate, "PCM_16")
        columns = ("mixture_path", "source_1_path", "source_2_path")
        row = dict(zip(columns, map(str, paths), strict=True))
        rows.append({"mixture_ID": paths[0].stem} | row | {"length": str(len(mixture))})
    write_text(folder / "mixture_train_mix_clean.csv", format_rows(rows))
    return folder


class Curve(pl.Callback):
    """Seconds, steps and dev loss after each epoch."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.rows: list[dict[str, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.rows.append(
            {
                "elapsed_s": round(time.monotonic() - self.began, 1),
                "step": trainer.global_step,
                "dev_loss": round(float(trainer.callback_metrics["val_loss"]), 4),
            }
        )


def train_stock(experiment: Experiment, wavs: Path, folder: Path) -> list[dict[str, float]]:
    """Asteroid's recipe: its System, Trainer, data set, layers and plateau."""
    conf = experiment.conf
    pl.seed_everything(conf.training.seed, verbose=False)
    model = build_model(conf.model, 2, conf.audio.sample_rate)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it drops
        dataset = import_librimix()(
            *(str(wavs), "sep_clean", conf.audio.sample_rate, 2, conf.training.segment_s)
        )
    size = conf.training.batch_size
    loader = DataLoader(dataset, size, shuffle=True, num_workers=WORKERS, drop_last=True)
    dev = DataLoader(FixedMixtures(open_split(experiment, "dev").keep(2, "render dev")), 1)
    losses = import_asteroid("losses")
    optimizer = torch.optim.Adam(model.parameters(), conf.training.lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=HALVE_AFTER
    )
    system = import_asteroid("engine.system").System(
        model=model,
        optimizer=optimizer,
        loss_func=losses.PITLossWrapper(losses.pairwise_neg_sisdr, pit_from="pw_mtx"),
        train_loader=loader,
        val_loader=dev,
        scheduler=plateau,
    )
    curve = Curve()
    trainer = pl.Trainer(
        max_epochs=-1,
        max_time={"seconds": round(60 * conf.training.budget_min)},
        limit_train_batches=conf.training.epoch_mixtures // size,
        gradient_clip_val=conf.training.clip,
        accelerator="cpu",
        num_sanity_val_steps=0,
        default_root_dir=folder,
        enable_model_summary=False,
        callbacks=[curve],
    )
    trainer.fit(system)
    return curve.rows


def time_compiling(conf: Conf, cache: Path) -> float:
    """Seconds that stage 4's model takes to compile with an empty cache."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    module = SeparationModule(build_model(conf.model, 2, conf.audio.sample_rate), conf.training)
    began = time.monotonic()
    module.prepare(round(conf.training.segment_s * conf.audio.sample_rate))
    return round(time.monotonic() - began, 1)


def train_ours(experiment: Experiment, items: Any, folder: Path) -> list[dict[str, float]]:
    """Stage 4; compiling, which its own clock leaves out, is taken off its time."""
    compiling_s = time_compiling(experiment.conf, folder / "compiled")
    minutes = experiment.conf.training.budget_min - compiling_s / 60
    training = dataclasses.replace(experiment.conf.training, budget_min=minutes)
    conf = dataclasses.replace(experiment.conf, training=training)
    dev = open_split(experiment, "dev").keep(2, "render dev")
    train(conf, items, dev, folder, torch.device("cpu"))
    return [
        {
            "elapsed_s": float(row["elapsed_s"]) + compiling_s,
            "step": int(row["step"]),
            "dev_loss": float(row["dev_loss"]),
        }
        for row in read_rows(folder / "curves.csv")
    ]


def plot_curves(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Dev SI-SDR against minutes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name, rows in curves.items():
        minutes = [row["elapsed_s"] / 60 for row in rows]
        axis.plot(minutes, [-row["dev_loss"] for row in rows], marker="o", ms=3, label=name)
    axis.set_xlabel("minutes of training")
    axis.set_ylabel("dev SI-SDR (dB)")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--data", type=Path, required=True, help="of run.sh --stop-stage 3")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder, 600 MB")
    parser.add_argument("--wavs", type=int, default=N_WAVS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.work.exists() and any(args.work.iterdir()):
        raise SystemExit(f"{args.work}: is not empty; give a new folder.")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    experiment = open_mini(args.data.resolve(), args.work / "exp", args.minutes)
    items = open_training(experiment)
    wavs = write_wavs(items, args.work / "wavs", experiment.conf.audio.sample_rate, args.wavs)
    curves = {
        "Asteroid's recipe": train_stock(experiment, wavs, args.work / "stock"),
        "ours": train_ours(experiment, items, args.work / "ours"),
    }
    result = {
        "cpu": read_cpu(),
        "flags": read_flags(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": find_commit(),
        "seed": experiment.conf.training.seed,
        "minutes": args.minutes,
        "curves": curves,
    }
    write_json(args.out / "equal_wall.json", result)
    plot_curves(curves, args.out / "equal_wall.png")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
