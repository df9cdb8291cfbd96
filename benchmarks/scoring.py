"""The scorer, side by side with Asteroid's get_metrics, on the same mixtures of real speech.

    .venv/bin/python -m benchmarks.scoring --speech DIR [--model FILE] [--mixtures N] [--turns N]

DIR is a LibriSpeech-like folder of FLAC files. Mixtures are 5 s of two speakers at 8 kHz, float32
as recipes hand them over; estimates are the sources with interference, filtered noise or clipping
5, 15, 25 or 40 dB below them, and CHECKPOINT's outputs for a fifth of the mixtures. Both sides
score si_sdr and sdr, estimates and mixture, in turns, over the same two processes of one thread
each; get_metrics is given the estimates in order, ours finds the permutation. Times are CPU
seconds (user and system, this process and its children) and wall seconds, without imports, and
with the audio in the processes' memory.
All values are then compared with get_metrics, mir_eval and SI-SDR's definition in float64.
Prints and writes benchmarks/results/scoring.json.
"""

import argparse
import json
import platform
import random
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
import soundfile
from scipy.signal import lfilter, resample_poly

from benchmarks.machine import find_commit, read_cpu
from separation.evaluation.selfcheck import define_si_sdr_db, score_with_references
from separation.files import write_json
from separation.jobs import run_jobs
from separation.metrics.score import score_mixture

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_RATE, N_SAMPLES = 8000, 40000
METRICS = ("si_sdr", "sdr")
LEVELS_DB = (5, 15, 25, 40)
KINDS = ("interference", "filtered noise", "clipping")
N_PROCESSES = 2
TARGETS = {"times as fast, CPU and wall": 40, "largest difference, dB": 1e-6}
IN_MEMORY: list["Case"] = []  # what forked processes find; sending audio costs 3 ms a mixture


class Case(NamedTuple):
    """One mixture ``(time,)``, its references and estimates ``(n_src, time)``, float32."""

    kind: str
    mixture: np.ndarray
    references: np.ndarray
    estimates: np.ndarray


def read_speech(folder: Path, n_wanted: int) -> list[np.ndarray]:
    """The first 5 s of files that have as much, at 8 kHz, spread over the folder."""
    paths = sorted(folder.rglob("*.flac"))
    random.Random(0).shuffle(paths)
    found = []
    for path in paths:
        if len(found) == n_wanted:
            break
        if soundfile.info(path).duration > 5.1:
            samples, rate = soundfile.read(path, always_2d=True)
            found.append(resample_poly(samples[:, 0], SAMPLE_RATE, rate)[:N_SAMPLES])
    if len(found) < 2:
        raise SystemExit(f"{folder}: fewer than two FLAC files of more than 5 s.")
    return found


def spoil(references: np.ndarray, level_db: float, kind: str, seed: int) -> np.ndarray:
    """Estimates ``(n_src, time)`` whose unwanted part lies some dB below the references."""
    noise = np.random.default_rng(seed).normal(size=references.shape)
    peaks = np.abs(references).max(axis=-1, keepdims=True)
    unwanted = {
        "interference": references[::-1] + 0.02 * peaks * noise,
        "filtered noise": lfilter([1.0, 0.6], [1.0, -0.8], noise),
        "clipping": references - np.clip(references, -0.2 * peaks, 0.2 * peaks) + 1e-3 * noise,
    }[kind]
    power = (references**2).mean(axis=-1, keepdims=True)
    unwanted *= np.sqrt(power / (unwanted**2).mean(axis=-1, keepdims=True))
    return references + 10 ** (-level_db / 20) * unwanted


def make_cases(folder: Path, n_mixtures: int, model: str | None) -> list[Case]:
    """Pairs of speakers; the kinds of estimates take turns."""
    speech = read_speech(folder, 2 * n_mixtures)
    separate = open_separator(model) if model else None
    kinds = [(kind, level) for level in LEVELS_DB for kind in KINDS]
    generator, cases = random.Random(1), []
    for number in range(n_mixtures):
        gains = [[1.0], [10 ** (generator.uniform(-5, 5) / 20)]]
        references = np.stack(generator.sample(speech, 2)) * gains
        mixture = references.sum(axis=0).astype(np.float32)
        kind, level_db = kinds[number % len(kinds)]
        name = f"{kind}, {level_db} dB"
        if separate and number % 5 == 4:
            name, estimates = "model", separate(mixture)
        else:
            estimates = spoil(references, level_db, kind, number)
        cases.append(
            Case(name, mixture, references.astype(np.float32), estimates.astype(np.float32))
        )
    return cases


def open_separator(model: str) -> Callable[[np.ndarray], np.ndarray]:
    """A trained model of two sources at 8 kHz as a function of samples."""
    import torch

    from separation.models.checkpoint.load import open_model
    from separation.models.inference import separate_samples

    loaded = open_model(model)
    if (loaded.sample_rate, loaded.n_src) != (SAMPLE_RATE, 2):
        raise SystemExit(f"{model}: wanted a model of two sources at {SAMPLE_RATE} Hz.")
    return lambda samples: separate_samples(loaded.model, samples, torch.device("cpu"))


def score_ours(case: Case) -> dict[str, float]:
    return score_mixture(*case[1:], SAMPLE_RATE, METRICS).values


def score_theirs(case: Case, average: bool = True) -> dict[str, Any]:
    from separation.models.asteroid import import_asteroid

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_asteroid("metrics").get_metrics(
            *case[1:], sample_rate=SAMPLE_RATE, metrics_list=list(METRICS), average=average
        )


def compare(case: Case) -> dict[str, float]:
    """Largest differences of ours, over sources, estimates and mixture, in dB.

    Those with ``float64`` are of values from float64 copies of the same samples.
    """
    score = score_mixture(*case[1:], SAMPLE_RATE, METRICS)
    exact = Case(case.kind, *(part.astype(np.float64) for part in case[1:]))
    ordered = exact.estimates[list(score.permutation)]
    sides = {"": ordered, "input_": np.stack([exact.mixture] * len(ordered))}
    found: dict[str, float] = {}

    def note(label: str, name: str, values: np.ndarray) -> None:
        ours = np.array([score.values[f"{name}_{k}"] for k in range(1, len(ordered) + 1)])
        key = f"{label}: {name.removeprefix('input_').removesuffix('i')}"
        found[key] = max(found.get(key, 0.0), float(np.abs(ours - values).max()))

    singles = case._replace(estimates=case.estimates[list(score.permutation)])
    for label, one in (
        ("get_metrics, float64", exact._replace(estimates=ordered)),
        ("get_metrics, float32 as recipes call it", singles),
    ):
        theirs = {name: np.ravel(v) for name, v in score_theirs(one, average=False).items()}
        theirs |= {f"{name}i": theirs[name] - theirs[f"input_{name}"] for name in METRICS}
        for name, values in theirs.items():
            note(label, name, values)
    true = {side: score_with_references(exact.references, est) for side, est in sides.items()}
    for side, estimates in sides.items():
        note("definition, float64", f"{side}si_sdr", define_si_sdr_db(exact.references, estimates))
        note("mir_eval, float64", f"{side}sdr", true[side]["sdr"])
    note("definition, float64", "si_sdri", true[""]["si_sdr"] - true["input_"]["si_sdr"])
    note("mir_eval, float64", "sdri", true[""]["sdr"] - true["input_"]["sdr"])
    return found


def measure(function: Callable[[Case], Any], cases: list[Case], label: str) -> dict[str, float]:
    """CPU and wall seconds of scoring all cases over two processes, which inherit the audio."""
    IN_MEMORY[:] = cases
    job = partial(score_number, function)
    before, began = count_cpu_s(), time.monotonic()
    numbers = range(len(cases))
    for _ in run_jobs(
        job, numbers, N_PROCESSES, total=len(cases), label=label, unit="mixture", chunk=4
    ):
        pass
    return {"cpu_s": count_cpu_s() - before, "wall_s": time.monotonic() - began}


def score_number(function: Callable[[Case], Any], number: int) -> Any:
    return function(IN_MEMORY[number])


def count_cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def take_turns(cases: list[Case], n_turns: int) -> dict[str, Any]:
    """Asteroid and ours in turns; ratios of each turn, and what 3,000 mixtures would take."""
    measure(score_ours, cases[:4], "warming up")
    measure(score_theirs, cases[:2], "warming up")
    turns = [
        (measure(score_theirs, cases, "get_metrics"), measure(score_ours, cases, "ours"))
        for _ in range(n_turns)
    ]
    result: dict[str, Any] = {}
    for clock in ("cpu_s", "wall_s"):
        ratios = [theirs[clock] / ours[clock] for theirs, ours in turns]
        sides = {"get_metrics": 0, "ours": 1}
        result[clock] = {
            name: [round(turn[side][clock], 3) for turn in turns] for name, side in sides.items()
        }
        result[clock]["times as fast"] = {
            "median": round(statistics.median(ratios), 1),
            "range": [round(min(ratios), 1), round(max(ratios), 1)],
        }
        result[clock]["3,000 mixtures, min"] = {
            name: round(statistics.median(result[clock][name]) / len(cases) * 3000 / 60, 2)
            for name in sides
        }
    return result


def find_differences(cases: list[Case]) -> dict[str, float]:
    """Largest difference in dB by reference and metric, over all cases."""
    largest: dict[str, float] = {}
    bar = partial(run_jobs, total=len(cases), label="comparing", unit="mixture")
    for found in bar(compare, cases, N_PROCESSES):
        for name, value in found.items():
            largest[name] = max(largest.get(name, 0.0), value)
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True, help="a folder of FLAC files")
    parser.add_argument("--model", help="a trained model of two sources at 8 kHz")
    parser.add_argument("--mixtures", type=int, default=120)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/scoring.json")
    args = parser.parse_args()
    cases = make_cases(args.speech, args.mixtures, args.model)
    scores = [(case.kind, score_ours(case)) for case in cases]
    result = {
        "cpu": read_cpu(),
        "commit": find_commit(),
        "versions": {"python": platform.python_version()}
        | {package.__name__: package.__version__ for package in (np, scipy)},
        "mixtures": len(cases),
        "estimates, mean SDR in dB": {
            kind: round(statistics.fmean(v["sdr"] for k, v in scores if k == kind), 2)
            for kind in sorted({kind for kind, _ in scores})
        },
        "targets": TARGETS,
        "processes": N_PROCESSES,
        "times": take_turns(cases, args.turns),
        "largest difference, dB": find_differences(cases),
    }
    write_json(args.out, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
