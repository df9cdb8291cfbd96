"""What the stages will take of time, disk and memory, said before any of them works."""

import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from separation.environment import format_command
from separation.experiment.experiment import Experiment
from separation.files import locate_recording
from separation.mixtures.kept import measure_budget

BYTES_PER_SAMPLE = 2
SCANNED_PER_CORE_S = 350  # seconds of speech that stages 1 and 3 take in a core-second, about
OPENED_PER_CORE_S = 500  # files whose headers and ends stage 2 looks at
SCORED_PER_CORE_S = {  # seconds of mixture, both sources, of each metric by itself
    "si_sdr": 2000,
    "sdr": 400,
    "sir": 70,  # with sar, which comes of the same projections
    "stoi": 50,
    "pesq": 15,
}
N_SAMPLED = 20  # files whose headers stand for all, in an estimate of hours
ENDLESS_MIN = 100000.0  # conf/default.yml's training.budget_min: epochs decide
SHORT_H = 1.0  # of audio, below which a training or test is not worth an estimate
BACK_AND_FORTH = 3  # times a forward pass: the backward pass takes twice as long


@dataclass(frozen=True)
class CostEstimate:
    """What an experiment's stages will take; of its files only sizes and a few headers are read."""

    experiment: Experiment

    @cached_property
    def paths(self) -> list[Path]:
        """The recordings, or the mixtures of audio that exists."""
        inputs = self.experiment.inputs
        if self.experiment.origin == "existing":
            return [Path(row.mixture_path) for rows in inputs.existing.values() for row in rows]
        used = sorted({row.path for row in inputs.recordings})
        return [locate_recording(inputs.speech_root / path) for path in used]

    @cached_property
    def hours(self) -> float:
        """Of all of them."""
        return estimate_hours(self.paths)

    @cached_property
    def mixture_s(self) -> float:
        """Seconds of a mixture, at most: as long as a recording, which the fixed lists may cut."""
        mean_s = self.hours * 3600 / max(1, len(self.paths))
        longest_s = self.experiment.conf.mixtures.max_utterance_s
        is_cut = self.experiment.origin == "drawn" and longest_s > 0
        return min(mean_s, longest_s) if is_cut else mean_s

    @cached_property
    def speed(self) -> tuple[float, str]:
        """Seconds of audio a second that the model separates; the device."""
        return measure_speed(self.experiment)

    def count_mixtures(self, split: str) -> int:
        """Of a fixed list; of one that is drawn as many as are asked for."""
        experiment = self.experiment
        if experiment.origin != "drawn":
            inputs = experiment.inputs
            listed = inputs.existing if experiment.origin == "existing" else inputs.published
            return len(listed[split])
        conf = experiment.conf.mixtures
        if split == "train":
            return conf.n_train or len(self.paths) // conf.n_src
        return conf.n_dev if split == "dev" else conf.n_test

    def describe_audio(self) -> list[str]:
        """Disk and minutes of stages 1 and 3, and what a tree of WAV files would take."""
        experiment, conf = self.experiment, self.experiment.conf
        folder, rate = experiment.data.path, conf.audio.sample_rate
        free_gb = shutil.disk_usage(folder).free / 1e9
        hours = f"about {self.hours:.1f} h"
        if experiment.origin == "existing":
            return [f"{hours} of mixtures, {free_gb:.0f} GB free in {folder}"]
        packed_gb = self.hours * 3600 * rate * BYTES_PER_SAMPLE / 1e9
        minutes = self.hours * 3600 / (SCANNED_PER_CORE_S * experiment.n_jobs) / 60
        lines = [
            f"{hours} of training speech, {free_gb:.0f} GB free in {folder}",
            f"dynamic mixing (training.dynamic_mixing=true): {packed_gb:.2f} GB packed, about "
            f"{minutes:.0f} min for stages 1 and 3 with --nj {experiment.n_jobs}",
        ]
        if experiment.origin == "published":
            signals = conf.mixtures.n_src + 1 + experiment.noisy
            trees_gb = packed_gb * signals / conf.mixtures.n_src
            lines.append("the fixed training list, mixed on the fly: no disk, no time beforehand")
            lines.append(
                f"the same as WAV files ({format_command('render')}): about {trees_gb:.1f} GB for "
                "training alone; nothing here needs them"
            )
        return lines

    def describe_lists(self) -> str:
        """Minutes of stage 2: it opens the files of given lists, or decodes what a draw needs."""
        experiment, n_jobs = self.experiment, self.experiment.n_jobs
        n_src = experiment.conf.mixtures.n_src
        if experiment.origin != "drawn":
            counts = [self.count_mixtures(split) for split in ("train", "dev", "test")]
            n_files = sum(counts) * (n_src + 1)
            minutes = n_files / (OPENED_PER_CORE_S * n_jobs) / 60
            return f"stage 2: {format_minutes(minutes)} to open at most {n_files} files"
        n_mixtures = sum(map(self.count_mixtures, experiment.listed_splits))
        decoded_s = n_mixtures * n_src * self.mixture_s
        if experiment.conf.metadata.rules == "teams":
            longest_s = experiment.conf.mixtures.max_utterance_s
            is_cut = 0 < longest_s < self.hours * 3600 / max(1, len(self.paths))
            decoded_s = self.hours * 3600 if is_cut else 0.0
        minutes = decoded_s / (SCANNED_PER_CORE_S * n_jobs) / 60
        return f"stage 2: {format_minutes(minutes)} to draw {n_mixtures} mixtures"

    def describe_training(self) -> str:
        """How much audio the epochs are and how long they take; empty for next to nothing."""
        training = self.experiment.conf.training
        n_mixtures = training.epoch_mixtures or self.count_mixtures("train")
        hours = training.epochs * n_mixtures * training.segment_s / 3600
        if hours < SHORT_H:
            return ""
        amount = (
            f"stage 4: {training.epochs} epochs of {n_mixtures} mixtures of "
            f"{training.segment_s:g} s are {hours:.0f} h of audio"
        )
        if training.budget_min < ENDLESS_MIN:
            return f"{amount}; it ends after {training.budget_min:g} min (training.budget_min)"
        n_dev = training.dev_mixtures or self.count_mixtures("dev")
        dev_hours = training.epochs * n_dev * self.mixture_s / 3600
        speed, device = self.speed
        return (
            f"{amount}: about {(BACK_AND_FORTH * hours + dev_hours) / speed:.1f} h on this "
            f"{device} before compilation and early stopping (training.epochs, early_stop and "
            "budget_min end it sooner)"
        )

    def describe_testing(self) -> str:
        """How long stages 5 and 6 take: separation, scores of every estimator, the report."""
        experiment, conf = self.experiment, self.experiment.conf.evaluation
        n_mixtures = sum(map(self.count_mixtures, experiment.test_splits))
        seconds = n_mixtures * self.mixture_s
        amount = f"stages 5 and 6: {n_mixtures} test mixtures, {seconds / 60:.0f} min of audio"
        if seconds < SHORT_H * 3600:
            return f"{amount}: minutes, or as long as the model takes to separate them"
        speed, device = self.speed
        core_s = sum(1 / SCORED_PER_CORE_S.get(name, 1e6) for name in conf.metrics)
        scored_s = seconds * core_s * len(conf.estimators) / experiment.n_jobs
        return (
            f"{amount}: {format_minutes((seconds / speed + scored_s) / 60)} on this {device} with "
            f"--nj {experiment.n_jobs}"
        )


def print_cost_estimate(experiment: Experiment) -> None:
    """What the stages will take of time, disk and memory, from the sizes of the files."""
    costs = CostEstimate(experiment)
    lines = [*costs.describe_audio(), costs.describe_lists(), describe_memory()]
    lines += [costs.describe_training(), costs.describe_testing()]
    print("\n".join(f"  {line}" for line in lines if line), flush=True)


def describe_memory() -> str:
    """What stages 4 and 5 keep of dev and test, at most."""
    most_gb = measure_budget() / 1e9
    return f"dev and test: at most {most_gb:.1f} GB of memory, a quarter of what is free"


def format_minutes(minutes: float) -> str:
    """A duration in words.

    >>> format_minutes(0.2), format_minutes(90), format_minutes(600)
    ('less than a minute', 'about 90 min', 'about 10.0 h')
    """
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 120 else f"about {minutes / 60:.1f} h"


def measure_speed(experiment: Experiment) -> tuple[float, str]:
    """Seconds of audio a second that the model separates, by two forward passes; the device."""
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
    return seconds / max(taken_s, 1e-6), device.type


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
