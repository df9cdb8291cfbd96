"""One rung: its stages, its training in a process of its own, its scores."""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.rungs import (
    LAST,
    LAST_CHANGES,
    RECIPE,
    TINY,
    find_rung,
    format_sets,
    resolve_keys,
)
from separation.environment import ROOT
from separation.experiment.experiment import Experiment
from separation.experiment.open import open_experiment
from separation.files import read_json
from separation.stages.run import run_stage
from separation.stages.state import is_done

LEAST_TRAINING_S = 45  # to start a training, or go on with one, so close to the deadline
LEAST_SCORING_S = 20
STOPPING_S = 45  # for a training to write its checkpoint when told to stop
POLL_S = 0.2
LOG_TAIL = 400
WORKERS = 8


class PartOver(Exception):
    """No time is left in this part; its text says where it stopped."""


class RungFailed(Exception):
    """A training ended with an error; its text is the log's end."""


@dataclass
class RungRun:
    """A rung with its options resolved."""

    name: str
    experiment: Experiment
    command: list[str]
    work: Path
    patient: bool  # false in a smoke run, where the last seconds are enough

    @property
    def log(self) -> Path:
        return self.work / "logs" / f"{self.name}.txt"


def list_keys(name: str, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Config keys of a rung; those of (h) are the best rung's, whose weights it goes on with."""
    minutes = args.minutes
    if name == LAST:
        best = choose_best(work)
        assert best is not None
        weights = work / "exp" / RECIPE / best / "best_model.pth"
        keys = resolve_keys(best) | LAST_CHANGES | {"training.init_from": str(weights)}
        minutes = args.last_minutes
    else:
        keys = resolve_keys(name)
    keys |= {"training.budget_min": minutes, "training.num_workers": min(WORKERS, args.nj)}
    if args.smoke:
        keys |= TINY | {"training.num_workers": 0}
        few = {"splits.n_train_speakers": 4, "mixtures.n_train": 8, "mixtures.train_length_s": 1.0}
        keys |= {key: value for key, value in few.items() if keys.get(key)}
    return keys


def choose_best(work: Path) -> str | None:
    """The finished rung with the best dev score: tests choose nothing."""
    results = [read_json(path) for path in sorted((work / "results").glob("[a-g].json"))]
    if not results:
        return None
    return max(results, key=lambda result: result["dev_si_sdr"])["rung"]


def open_rung(name: str, work: Path, args: argparse.Namespace) -> RungRun:
    """Resolve a rung's options; nothing is run yet."""
    of = choose_best(work) if name == LAST else name
    assert of is not None
    sets = format_sets(list_keys(name, work, args))
    data = work / "data" / find_rung(of).data
    experiment = open_experiment(
        RECIPE,
        sets,
        tag=name,
        corpora=[f"speech={work / 'corpus'}"],
        data=data,
        exp=work / "exp",
        n_jobs=args.nj,
        device=args.device,
    )
    options = ["--recipe", RECIPE, "--tag", name, "--corpus", f"speech={work / 'corpus'}"]
    options += ["--data", str(data), "--exp", str(work / "exp"), "--nj", str(args.nj)]
    options += ["--device", args.device, *(word for text in sets for word in ("--set", text))]
    command = [sys.executable, "-m", "separation", "train", *options]
    return RungRun(name, experiment, command, work, not args.smoke)


def run_rung(
    rung: RungRun, deadline: float, interrupt: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Data, training, scores; returns the rung's result.

    Args:
        rung: what to run.
        deadline: of time.monotonic.
        interrupt: polled while it trains; true ends the part as the deadline does.

    Raises:
        PartOver: to be called again.
        RungFailed: the training ended with an error.
    """
    from benchmarks.gpu.ablation import describe_rung
    from benchmarks.gpu.ladder_scores import score_rung

    if not is_done(rung.experiment, "train"):
        _share_scan(rung)
        for stage in ("preflight", "corpus", "metadata", "audio"):
            run_stage(rung.experiment, stage)
        _check_time(rung, deadline, LEAST_TRAINING_S, "training")
        _train(rung, deadline, interrupt)
    _check_time(rung, deadline, LEAST_SCORING_S, "scores")
    scores = score_rung(rung.experiment, rung.work)
    return describe_rung(rung.name, rung.experiment, scores)


def _share_scan(rung: RungRun) -> None:
    """The corpus is measured once: another data folder's journal holds for this one too."""
    own = rung.experiment.data.shared
    own.mkdir(parents=True, exist_ok=True)
    for journal in sorted((rung.work / "data").glob("*/*/.scan-*.jsonl")):
        if not (own / journal.name).exists():
            shutil.copy(journal, own / journal.name)


def _check_time(rung: RungRun, deadline: float, needed_s: float, what: str) -> None:
    if rung.patient and time.monotonic() + needed_s > deadline:
        raise PartOver(f"before the {what} of rung {rung.name}")


def _train(rung: RungRun, deadline: float, interrupt: Callable[[], bool]) -> None:
    """Stage 4 in a process of its own, told to stop in time to write its checkpoint."""
    rung.log.parent.mkdir(parents=True, exist_ok=True)
    with open(rung.log, "a") as log:
        process = subprocess.Popen(rung.command, cwd=ROOT, stdout=log, stderr=log)
    stopped = False
    while process.poll() is None:
        time.sleep(POLL_S)
        if time.monotonic() > deadline or interrupt():
            stopped = True
            _stop(process)
    if process.returncode == 0:  # also where it ended just before it was told to
        _say_speed(rung)
        return
    if stopped:
        raise PartOver(f"within the training of rung {rung.name}")
    raise RungFailed(" ".join(rung.log.read_text(errors="replace")[-LOG_TAIL:].split()))


def _stop(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:  # its last checkpoint is whole all the same
        process.kill()
        process.wait()


def _say_speed(rung: RungRun) -> None:
    last = rung.experiment.folder.read_curves()[-1]
    print(
        f"  {float(last['elapsed_s']) / 60:.2f} min, {last['step']} steps, "
        f"{last['audio_s_per_s']} s of audio a second",
        flush=True,
    )
