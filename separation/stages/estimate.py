"""What the stages will take of time, disk and memory, said before any of them works."""

import shutil
import time
from pathlib import Path

from separation.environment import format_command
from separation.experiment.experiment import Experiment
from separation.files import locate_recording
from separation.mixtures.kept import measure_budget

BYTES_PER_SAMPLE = 2
SCANNED_PER_CORE_S = 350  # seconds of speech that stages 1 and 3 take in a core-second, about
N_SAMPLED = 20  # files whose headers stand for all, in an estimate of hours
ENDLESS_MIN = 100000.0  # conf/default.yml's training.budget_min: epochs decide
SHORT_H = 1.0  # of audio, below which a training is not worth an estimate
BACK_AND_FORTH = 3  # times a forward pass: the backward pass takes twice as long


def print_cost_estimate(experiment: Experiment) -> None:
    """What the choices that are left will take of disk and time, from the sizes of the files."""
    conf, inputs = experiment.conf, experiment.inputs
    used = sorted({row.path for row in inputs.recordings})
    hours = estimate_hours([locate_recording(inputs.speech_root / path) for path in used])
    rate = conf.audio.sample_rate
    packed_gb = hours * 3600 * rate * BYTES_PER_SAMPLE / 1e9
    minutes = hours * 3600 / (SCANNED_PER_CORE_S * experiment.n_jobs) / 60
    free_gb = shutil.disk_usage(experiment.data.path).free / 1e9
    lines = [
        f"about {hours:.1f} h of training speech, {free_gb:.0f} GB free in {experiment.data.path}",
        f"dynamic mixing (training.dynamic_mixing=true): {packed_gb:.2f} GB packed, about "
        f"{minutes:.0f} min for stages 1 and 3 with --nj {experiment.n_jobs}",
    ]
    if experiment.origin == "published":
        signals = conf.mixtures.n_src + 1 + experiment.noisy
        trees_gb = hours / conf.mixtures.n_src * 3600 * rate * BYTES_PER_SAMPLE * signals / 1e9
        lines.append("the fixed training list, mixed on the fly: no disk, no time beforehand")
        lines.append(
            f"the same as WAV files ({format_command('render')}): about {trees_gb:.1f} GB for "
            "training alone; nothing here needs them"
        )
    lines += [describe_memory(), describe_training(experiment, len(used))]
    print("\n".join(f"  {line}" for line in lines if line), flush=True)


def describe_memory() -> str:
    """What stages 4 and 5 keep of dev and test, at most."""
    most_gb = measure_budget() / 1e9
    return f"dev and test: at most {most_gb:.1f} GB of memory, a quarter of what is free"


def describe_training(experiment: Experiment, n_recordings: int) -> str:
    """How much audio the epochs are and how long they take; empty for next to nothing.

    Args:
        experiment: its config says how much.
        n_recordings: a bound of the mixtures of an epoch where the list gives their number.
    """
    training = experiment.conf.training
    n_mixtures = training.epoch_mixtures or n_recordings // experiment.conf.mixtures.n_src
    hours = training.epochs * n_mixtures * training.segment_s / 3600
    if hours < SHORT_H:
        return ""
    amount = (
        f"stage 4: {training.epochs} epochs of {n_mixtures} mixtures of {training.segment_s:g} s "
        f"are {hours:.0f} h of audio"
    )
    if training.budget_min < ENDLESS_MIN:
        return f"{amount}; it ends after {training.budget_min:g} min (training.budget_min)"
    speed, device = measure_speed(experiment)
    return (
        f"{amount}: about {hours / speed:.1f} h on this {device} before compilation and early "
        "stopping (training.epochs, early_stop and budget_min end it sooner)"
    )


def measure_speed(experiment: Experiment) -> tuple[float, str]:
    """Seconds of audio a second that a training step takes, by two forward passes; the device."""
    import torch

    from separation.device import choose_device
    from separation.models.registry import build_model

    conf, device = experiment.conf, choose_device(experiment.device)
    model = build_model(conf.model, conf.mixtures.n_src, conf.audio.sample_rate).to(device)
    seconds = min(conf.training.segment_s, 4.0)
    mixture = torch.randn(1, round(seconds * conf.audio.sample_rate), device=device)
    with torch.inference_mode():
        for _ in range(2):  # the first one warms up
            began = time.monotonic()
            model(mixture)
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken_s = time.monotonic() - began
    return seconds / (BACK_AND_FORTH * max(taken_s, 1e-6)), device.type


def estimate_hours(paths: list[Path]) -> float:
    """Hours of all files, from their sizes and the headers of a few."""
    import soundfile

    seen = paths[:: max(1, len(paths) // N_SAMPLED)]
    try:
        durations = [soundfile.info(path).duration for path in seen]
    except (soundfile.LibsndfileError, RuntimeError):  # GSM, or broken: stage 1 says which
        return sum(path.stat().st_size for path in paths) / (2 * 16000 * 3600)
    share = sum(durations) / max(1, sum(path.stat().st_size for path in seen))
    return share * sum(path.stat().st_size for path in paths) / 3600
