"""Does the product work on this device? A recipe end to end on a folder of speech.

    python3 -m benchmarks.gpu.recipe [SPEECH] --work DIR [--minutes M] [--only NAME,...] [--tiny]

``folder/ConvTasNet``: stages 0 to 3, a training that SIGTERM stops after its first checkpoint, the
same command again to stage 6; ``compare`` on the device and on the CPU; ``overfit``; the training
of a batch that has to be tried in pieces. One line a step: ok or FAILED, and what its log says; the
logs are in ``DIR/logs``. Exit code 1: a step failed. ``--tiny``: made-up voices, toy sizes.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.settings import TINY
from benchmarks.voices import write_voices
from separation.config.load import load_conf
from separation.environment import ROOT
from separation.files import read_rows

RECIPE = "folder/ConvTasNet"
POLL_S = 0.2
LEAST_S = 8.0  # to begin a step
EQUAL_DB = 0.01
REFERENCES = ("mixture", "ibm", "irm", "wfm")  # that compare scores beside the model
SHORT: dict[str, object] = {
    "mixtures.n_dev": 100,
    "mixtures.n_test": 100,
    "training.batch_size": 24,
    "training.segment_s": 3.0,
    "training.epoch_mixtures": 4800,
    "training.budget_min": 0.5,
    "training.checkpoint_min": 0.03,
}
TOY: dict[str, object] = SHORT | {
    **{f"model.{key}": value for key, value in TINY.items()},
    "mixtures.n_dev": 4,
    "mixtures.n_test": 4,
    "mixtures.min_utterance_s": 0.5,
    "training.batch_size": 2,
    "training.segment_s": 0.25,
    "training.epoch_mixtures": 400,
    "training.budget_min": 0.2,
    "training.checkpoint_min": 0.02,
    "training.compile": "off",
}
FORM = r"training runs .*|\d+ of \d+ mixtures fit .*|.*no CUDA graphs.*"
STEPS = ("prepare", "stop", "train", "compare", "overfit", "pieces")


class StepFailed(Exception):
    """A step did not do what it should; its text says what it did."""


@dataclass(frozen=True, kw_only=True)
class ProductRun:
    """What every step runs on."""

    speech: Path  # a folder that the recipe reads
    work: Path  # of data, experiments and logs
    device: str
    n_jobs: int
    deadline: float  # of time.monotonic, at which processes are ended
    tiny: bool

    def list_options(self, tag: str, changes: Mapping[str, object]) -> list[str]:
        """Options of a stage: the recipe, shortened, with other values of some keys."""
        keys = (TOY if self.tiny else SHORT) | dict(changes)
        words = ["--recipe", RECIPE, "--tag", tag, "--corpus", f"speech={self.speech}"]
        words += ["--data", str(self.work / "data"), "--exp", str(self.work / "exp")]
        words += ["--nj", str(self.n_jobs), "--device", self.device]
        return words + [word for key, own in keys.items() for word in ("--set", f"{key}={own}")]

    def run_stages(
        self, name: str, first: int, last: int, says: str, *, stops: bool = False
    ) -> str:
        """Some stages by ``run.sh``; ends a training after its first checkpoint where it stops."""
        numbers = ["--stage", str(first), "--stop-stage", str(last)]
        command = ["bash", str(ROOT / "run.sh"), *numbers, *self.list_options("default", {})]
        checkpoint = self.work / "exp" / RECIPE / "default" / "checkpoints" / "last.ckpt"
        codes = (128 + signal.SIGTERM,) if stops else (0,)
        return self.run(name, command, says, codes, checkpoint if stops else None)

    def run(
        self,
        name: str,
        command: list[str],
        says: str,
        codes: tuple[int, ...] = (0,),
        stop_after: Path | None = None,
    ) -> str:
        """What matches ``says`` in the log of a command, which must end with one of ``codes``.

        The command gets SIGTERM once the file ``stop_after`` is there.

        Raises:
            StepFailed: it ended otherwise, or not in time, or says nothing such.
        """
        path = self.work / "logs" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONUNBUFFERED": "1"}
        with open(path, "w") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        while process.poll() is None:
            if stop_after is not None and stop_after.is_file():
                process.send_signal(signal.SIGTERM)
                stop_after = None
            if time.monotonic() > self.deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise StepFailed(f"no time left; {cut_end(path)}")
            time.sleep(POLL_S)
        found = re.findall(says, path.read_text(errors="replace"), re.MULTILINE)
        if process.returncode not in codes or not found:
            raise StepFailed(f"exit code {process.returncode}; {cut_end(path)}")
        return "; ".join(dict.fromkeys(found))

    def describe_training(self, tag: str) -> str:
        """The last epoch's figures."""
        row = read_rows(self.work / "exp" / RECIPE / tag / "curves.csv")[-1]
        names = ("step", "dev_si_sdri", "audio_s_per_s", "validation_s", "memory_mb")
        return ", ".join(f"{name} {row[name]}" for name in names)


def cut_end(log: Path, length: int = 300) -> str:
    """The end of a log on one line; progress bars write over themselves."""
    lines = log.read_text(errors="replace").splitlines()
    return " | ".join(filter(None, (line.rpartition("\r")[2].strip() for line in lines)))[-length:]


def call_command(*words: object) -> list[str]:
    """A command of ``python -m separation``."""
    return [sys.executable, "-m", "separation", *map(str, words)]


def compare_devices(run: ProductRun) -> str:
    """``compare`` on the device and on the CPU gives equal scores."""
    scores = {device: compare(run, device) for device in (run.device, "cpu")}
    first, second = scores[run.device], scores["cpu"]
    worst = max(abs(first[name] - second[name]) for name in second)
    if worst > EQUAL_DB:
        raise StepFailed(f"SI-SDR differs by up to {worst:.4f} dB")
    return f"{len(first)} mixtures, SI-SDR differs by {worst:.5f} dB at most"


def compare(run: ProductRun, device: str) -> dict[str, float]:
    """SI-SDR by mixture of what the recipe trained; of the shipped model where it did not."""
    trained, out = run.work / "exp" / RECIPE / "default", run.work / f"compare_{device}"
    table = next((run.work / "data" / "folder").rglob("metadata/test.csv"))
    model = trained if (trained / "best_model.pth").is_file() else "shipped"
    words = ["compare", "--models", model, "--test-sets", table, "--limit", 20]
    words += ["--corpus", f"speech={run.speech}", "--metrics", "si_sdr"]
    words += ["--out", out, "--nj", run.n_jobs, "--device", device]
    run.run(f"compare_{device}", call_command(*words), "")
    (path,) = (path for path in out.rglob("*.csv") if path.stem not in REFERENCES)
    return {row["mixture_ID"]: float(row["si_sdr"]) for row in read_rows(path)}


def train_in_pieces(run: ProductRun) -> str:
    """A batch that does not fit at once: pieces are tried. Eager, which takes the most memory."""
    sets: dict[str, Any] = {"training.compile": "off", "training.budget_min": 0.02}
    if not run.tiny:  # 96 mixtures of 4 s of the best configuration do not fit 80 GB
        best = load_conf(ROOT, "librimix/ConvTasNet", []).as_dict()["model"]
        sets |= {f"model.{key}": value for key, value in best.items()}
        sets |= {"training.batch_size": 96, "training.segment_s": 4.0, "training.budget_min": 0.1}
        sets |= {"training.epoch_mixtures": 960, "training.dev_mixtures": 10}
    said = run.run("pieces", call_command("train", *run.list_options("pieces", sets)), FORM)
    return f"{said}; {run.describe_training('pieces')}"


def do_step(run: ProductRun, name: str) -> str:
    """Do one of :data:`STEPS`; what there is to say of it."""
    match name:
        case "prepare":
            return run.run_stages(name, 0, 3, "^stage .* done.*")
        case "stop":
            return run.run_stages(name, 4, 4, r"stopped by \w+ after step \d+", stops=True)
        case "train":
            said = run.run_stages(name, 4, 6, rf"going on after step \d+|{FORM}")
            return f"{said}; {run.describe_training('default')}"
        case "overfit":  # for some seconds; that it does not get there in them is no failure
            options = run.list_options(name, {"training.compile": "off"})
            command = call_command("overfit", "--minutes", 0.05, "--n", 4, *options)
            return run.run(name, command, "^overfit .*", codes=(0, 1))
        case "compare":
            return compare_devices(run)
    return train_in_pieces(run)


def run_step(run: ProductRun, name: str) -> bool:
    """Run one step and print its line; whether it did what it should."""
    began = time.monotonic()
    try:
        if began + LEAST_S > run.deadline:
            raise StepFailed("no time left")
        text, good = do_step(run, name), True
    except Exception as error:  # one step that fails, for whatever reason, costs no other
        plain = isinstance(error, StepFailed)
        text, good = str(error) if plain else f"{type(error).__name__}: {error}", False
    seconds, word = time.monotonic() - began, "ok" if good else "FAILED"
    print(f"{word:6s} {name:9s} {seconds:5.1f} s  {text}", flush=True)
    return good


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("speech", type=Path, nargs="?", metavar="SPEECH", help="a folder of speech; none: --tiny")
    add("--work", type=Path, required=True, metavar="DIR", help="of data, experiments and logs")
    add("--minutes", type=float, default=4.5, help="of the whole call")
    add("--device", choices=("cpu", "cuda"), help="(CUDA where there is one)")
    add("--only", default=",".join(STEPS), metavar="NAME,...", help="steps (all)")
    add("--nj", type=int, default=os.cpu_count(), metavar="N", help="processes (all cores)")
    add("--tiny", action="store_true", help="made-up voices, toy sizes")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.only.split(",") if name not in STEPS]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(STEPS)}")
    if not args.tiny and (args.speech is None or not args.speech.is_dir()):
        parser.error(f"SPEECH {args.speech}: no such folder; give one, or --tiny")
    return args


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1: a step failed."""
    args = parse_arguments(arguments)
    speech = args.work / "voices" if args.tiny else args.speech
    if args.tiny and not speech.is_dir():
        write_voices(speech, 24, 4, 1.5, 8000)
    run = ProductRun(
        speech=speech.resolve(),
        work=args.work.resolve(),
        device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        n_jobs=args.nj,
        deadline=time.monotonic() + 60 * args.minutes,
        tiny=args.tiny,
    )
    failed = [name for name in args.only.split(",") if not run_step(run, name)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
