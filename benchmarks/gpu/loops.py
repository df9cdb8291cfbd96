"""Loaders alone, loaders with a step, and the whole of stage 4's training function."""

import dataclasses
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.gpu.material import Material
from benchmarks.gpu.steps import Batch, Step
from benchmarks.gpu.timing import wait_for
from separation.files import read_rows
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.dynamic.device import DeviceMixer
from separation.mixtures.layout import list_mixtures
from separation.training.loop import train

if TYPE_CHECKING:
    from benchmarks.gpu.cases import Bench


def open_device_batches(
    material: Material, batch: int, n_batches: int, device: torch.device
) -> Iterator[Batch]:
    """Batches that stage 4 mixes on the device."""
    return DeviceMixer(material.open_training(0), batch, device).batches(0, n_batches)


def measure_loader(
    batches: Iterable[Batch], audio_s: float, device: torch.device
) -> dict[str, Any]:
    """Seconds of audio a second that arrive on the device; the first batch starts the clock.

    Args:
        batches: two or more.
        audio_s: seconds of mixture in a batch.
        device: where to.
    """
    iterator = iter(batches)
    next(iterator)
    wait_for(device)
    began, count = time.perf_counter(), 0
    for mixtures, sources in iterator:
        mixtures.to(device, non_blocking=True)
        sources.to(device, non_blocking=True)
        count += 1
    wait_for(device)
    seconds = time.perf_counter() - began
    return {"batches": count, "seconds": seconds, "audio_s_per_s": count * audio_s / seconds}


def measure_loop(
    step: Step, batches: Iterable[Batch], audio_s: float, device: torch.device
) -> dict[str, Any]:
    """Seconds of audio trained a second when the loader feeds the step."""
    iterator = iter(batches)
    step.run(_move(next(iterator), device))
    wait_for(device)
    began, count = time.perf_counter(), 0
    for batch in iterator:
        step.run(_move(batch, device))
        count += 1
    wait_for(device)
    seconds = time.perf_counter() - began
    ms = 1000 * seconds / count
    return {"batches": count, "ms": ms, "audio_s_per_s": count * audio_s / seconds}


def _move(batch: Batch, device: torch.device) -> Batch:
    mixtures, sources = batch
    return mixtures.to(device, non_blocking=True), sources.to(device, non_blocking=True)


def measure_training(bench: "Bench", conf_name: str) -> dict[str, Any]:
    """Stage 4's own function over two short epochs; the speed of the second one's steps."""
    settings, conf = bench.settings, bench.settings.confs[conf_name]
    short = dataclasses.replace(
        conf.training, epochs=2, epoch_mixtures=settings.train_steps * settings.batch
    )
    conf = dataclasses.replace(conf, training=short)
    rows = list_mixtures(bench.material.wavs, 2, "sep_clean")[: settings.quality_dev]
    dev = MixtureDataset(rows, ReadOptions(corpora=None, sample_rate=settings.sample_rate))
    folder = bench.material.folder / f"train_{conf_name}"
    train(conf, bench.material.open_training(0), dev, folder, bench.device)
    last = read_rows(folder / "curves.csv")[-1]
    return {"audio_s_per_s": float(last["audio_s_per_s"]), "steps": settings.train_steps}
