"""A recipe's stages and commands in processes of their own: how they end, and what they log."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.settings import TINY
from separation.environment import ROOT

RECIPE = "folder/ConvTasNet"
POLL_S = 0.2
FULL: dict[str, object] = {
    "mixtures.n_dev": 100,
    "mixtures.n_test": 100,
    "training.batch_size": 24,
    "training.segment_s": 3.0,
    "training.epoch_mixtures": 4800,
    "training.budget_min": 0.5,
    "training.checkpoint_min": 0.03,
}
TOY: dict[str, object] = {
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


class StepFailed(Exception):
    """A step did not do what it should; its text says what it did."""


@dataclass(frozen=True, kw_only=True)
class ProductRun:
    """What every step runs on.

    Attributes:
        speech: a folder that the recipe reads.
        work: of data, experiments and logs.
        deadline: of time.monotonic, at which processes are ended.
    """

    speech: Path
    work: Path
    device: str
    n_jobs: int
    deadline: float
    tiny: bool

    def list_options(
        self, tag: str = "default", changes: Mapping[str, object] | None = None
    ) -> list[str]:
        """Options of a stage: the recipe, shortened, with other values of some keys."""
        keys = FULL | (TOY if self.tiny else {}) | dict(changes or {})
        words = ["--recipe", RECIPE, "--tag", tag, "--corpus", f"speech={self.speech}"]
        words += ["--data", str(self.work / "data"), "--exp", str(self.work / "exp")]
        words += ["--nj", str(self.n_jobs), "--device", self.device]
        return words + [word for pair in keys.items() for word in ("--set", "{}={}".format(*pair))]

    def call_stages(self, first: int, last: int) -> list[str]:
        """The command of ``run.sh`` for some stages."""
        numbers = ["--stage", str(first), "--stop-stage", str(last)]
        return ["bash", str(ROOT / "run.sh"), *numbers, *self.list_options()]

    def call_command(self, *words: object) -> list[str]:
        """A command of ``python -m separation``."""
        return [sys.executable, "-m", "separation", *map(str, words)]

    def locate_experiment(self, tag: str = "default") -> Path:
        return self.work / "exp" / RECIPE / tag

    def start(self, name: str, command: list[str]) -> tuple[subprocess.Popen, Path]:
        """The process, in a group of its own, and its log."""
        path = self.work / "logs" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"VIRTUAL_ENV": sys.prefix, "PYTHONUNBUFFERED": "1"}
        with open(path, "w") as log:
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        return process, path

    def run(self, name: str, command: list[str], codes: tuple[int, ...] = (0,)) -> str:
        """The log of a command that ended with one of the exit codes.

        Raises:
            StepFailed: it did not.
        """
        process, path = self.start(name, command)
        self.wait_for(process, lambda: process.poll() is not None, path)
        text = path.read_text(errors="replace")
        if process.returncode not in codes:
            raise StepFailed(f"exit code {process.returncode}: {cut_end(text)}")
        return text

    def wait_for(self, process: subprocess.Popen, holds: Callable[[], bool], log: Path) -> None:
        """Until a condition holds.

        Raises:
            StepFailed: the process ended before, or the time; then all of the group is ended.
        """
        while not holds():
            if process.poll() is not None:
                text = log.read_text(errors="replace")
                raise StepFailed(f"ended early, exit code {process.returncode}: {cut_end(text)}")
            if time.monotonic() > self.deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise StepFailed("no time left")
            time.sleep(POLL_S)


def cut_end(text: str, length: int = 300) -> str:
    """The end of a log on one line; progress bars write over themselves."""
    lines = [line.rpartition("\r")[2].strip() for line in text.splitlines()]
    return " | ".join(filter(None, lines))[-length:]


def find_number(pattern: str, text: str) -> int:
    """The last number that a pattern's group finds.

    Raises:
        StepFailed: the text holds none.
    """
    numbers = re.findall(pattern, text)
    if not numbers:
        raise StepFailed(f"the log does not say «{pattern}»: {cut_end(text)}")
    return int(numbers[-1])
